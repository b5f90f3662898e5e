/**
 * What a step sends, as it is written: `\r \n \t \0 \\ \$ \xNN` stand for one byte each, `${1}` and `${name}` for what
 * an earlier step's pattern captured. `${probe:NAME}` is left in the text, for the probe.
 */
export type SendPart =
  | { readonly text: string }
  | { readonly byte: number }
  /** A number counts the groups of the pattern that matched last; names stay. */
  | { readonly capture: string };

const escapes: Readonly<Record<string, number>> = { r: 13, n: 10, t: 9, 0: 0, '\\': 92, $: 36 };
const token = /\\(?:x([0-9a-fA-F]{2})|([\s\S]?))|\$\{(\d{1,2}|[A-Za-z_]\w*)\}/g;

/** The parts in their order, or what is wrong with the text. */
export function sendParts(text: string): readonly SendPart[] | { readonly problem: string } {
  const parts: SendPart[] = [];
  let from = 0;
  for (const match of text.matchAll(token)) {
    const [whole, hex, letter, capture] = match;
    if (match.index > from) parts.push({ text: text.slice(from, match.index) });
    from = match.index + whole.length;
    if (capture !== undefined) {
      parts.push({ capture });
      continue;
    }
    const byte = hex === undefined ? escapes[letter ?? ''] : Number.parseInt(hex, 16);
    if (byte === undefined) {
      const known = '\\r \\n \\t \\0 \\\\ \\$ \\xNN';
      return { problem: `'${whole}' at position ${match.index} is none of ${known}` };
    }
    parts.push({ byte });
  }
  if (from < text.length) parts.push({ text: text.slice(from) });
  return parts;
}

export function capturesOf(text: string): string[] {
  const parts = sendParts(text);
  return 'problem' in parts ? [] : parts.flatMap((part) => ('capture' in part ? [part.capture] : []));
}
