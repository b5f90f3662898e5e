import { setImmediate as breathe } from 'node:timers/promises';
import { type DocumentPath, type DocumentProblem, pathText } from '../../shared/document-problem.ts';
import type { EndpointDocument } from '../../shared/endpoint.ts';
import { repeatedNames, validateEndpoint } from '../../shared/endpoint-document.ts';
import { Problem } from '../problem.ts';
import { encodeEndpoint } from '../trust/decode-endpoint.ts';

/** A document that may be stored once its secrets are sealed: every default in it. */
export interface ReadDocument {
  readonly name: string;
  readonly renamedFrom?: string | undefined;
  /** With `secrets`, without `renamedFrom`. */
  readonly document: EndpointDocument;
}

const maxProblems = 200;
const documentsABreath = 200;

export function readDocument(document: unknown): ReadDocument {
  const read = validateEndpoint(document);
  if ('problems' in read) throw invalid(read.problems);
  const { renamedFrom, ...stored } = encodeEndpoint(read.endpoint);
  return { name: stored.name, renamedFrom, document: stored };
}

/** Throws Problem 400 with all that is wrong with any of them, by its place: `endpoints[2].url`. */
export async function readDocuments(documents: readonly unknown[]): Promise<ReadDocument[]> {
  const problems: DocumentProblem[] = [];
  const good: ReadDocument[] = [];
  for (const [index, document] of documents.entries()) {
    if (index % documentsABreath === documentsABreath - 1) await breathe();
    const read = validateEndpoint(document);
    if ('problems' in read) {
      problems.push(
        ...read.problems.map(({ path, message }) => ({ path: inList([index, ...path]), message })),
      );
      if (problems.length > maxProblems) break;
    } else {
      const { renamedFrom, ...stored } = encodeEndpoint(read.endpoint);
      good.push({ name: stored.name, renamedFrom, document: stored });
    }
  }
  if (problems.length === 0) {
    for (const { path, message } of repeatedNames(good)) problems.push({ path: inList(path), message });
  }
  if (problems.length > 0) throw invalid(problems);
  return good;
}

export function inList(path: DocumentPath): DocumentPath {
  return ['endpoints', ...path];
}

export function invalid(
  problems: readonly DocumentProblem[],
  [status, code]: readonly [status: number, code: string] = [400, 'endpoint.invalid'],
): Problem {
  const errors = problems
    .slice(0, maxProblems)
    .map(({ path, message }) => ({ path: pathText(path), message }));
  const [first] = errors;
  const more = problems.length > 1 ? `, and ${problems.length - 1} more` : '';
  const place = first?.path ? `${first.path}: ` : '';
  return new Problem(status, code, `${place}${first?.message ?? 'not valid'}${more}`, { extra: { errors } });
}
