import type { DocumentProblem } from '../../shared/document-problem.ts';

interface Named {
  readonly name: string;
  readonly renamedFrom?: string | undefined;
}

/**
 * Which endpoint each document means: the one of its name, else the one it says it was. A file that was applied may be
 * applied again: where the new name is there already, `renamedFrom` has done its work. Renames may follow one another
 * (a to b while b becomes c) in any order. Paths of problems begin with the place in the list.
 */
export function matchDocuments<Existing extends { readonly name: string }>(
  documents: readonly Named[],
  existing: readonly Existing[],
): { readonly matches: readonly (Existing | null)[]; readonly problems: readonly DocumentProblem[] } {
  const free = new Map(existing.map((one) => [one.name, one]));
  const matches = new Map<number, Existing | null>();
  const renames = documents.flatMap(({ name, renamedFrom }, index) =>
    renamedFrom === undefined ? [] : [{ index, name, renamedFrom }],
  );
  // What a rename leaves free may be what another waits for.
  for (let moved = true; moved; ) {
    moved = false;
    for (const { index, name, renamedFrom } of renames) {
      const old = free.get(renamedFrom);
      if (matches.has(index) || !old || free.has(name)) continue;
      free.delete(renamedFrom);
      matches.set(index, old);
      moved = true;
    }
  }
  const named = new Set(documents.map(({ name }) => name));
  const problems: DocumentProblem[] = [];
  for (const [index, { name, renamedFrom }] of documents.entries()) {
    if (matches.has(index)) continue;
    matches.set(index, free.get(name) ?? null);
    if (renamedFrom === undefined || !free.has(renamedFrom) || named.has(renamedFrom)) continue;
    const message = `'${renamedFrom}' and '${name}' are both there: delete one of them first`;
    problems.push({ path: [index, 'renamedFrom'], message });
  }
  return { matches: documents.map((_, index) => matches.get(index) ?? null), problems };
}
