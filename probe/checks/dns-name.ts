/** What a server sent is not a DNS message. */
export class DnsUnreadable extends Error {}

export interface DnsName {
  /** As in a master file: lower case, what is no plain character escaped, with its last dot. */
  readonly text: string;
  /** The first byte after it, where it stands. */
  readonly end: number;
}

/** Names in real answers have one or two; BIND and Unbound follow many more, which only costs them time. */
const mostPointers = 16;
const mostNameBytes = 255;

/**
 * RFC 1035, section 4.1.4. A pointer leads back, and only so many are followed. `known` holds names by where a
 * pointer leads, so that a thousand records of one name read it once.
 */
export function readName(bytes: Buffer, start: number, known: Map<number, DnsName>): DnsName {
  let at = start;
  let lowest = start;
  let end = -1;
  let pointers = 0;
  let length = 1;
  let text = '';
  let firstTarget = -1;
  for (;;) {
    const size = bytes[at];
    if (size === undefined) throw new DnsUnreadable('a name goes beyond its end');
    if (size >= 0xc0) {
      const low = bytes[at + 1];
      if (low === undefined) throw new DnsUnreadable('a name goes beyond its end');
      const target = ((size & 0x3f) << 8) | low;
      if (end < 0) end = at + 2;
      pointers += 1;
      if (target >= lowest) throw new DnsUnreadable('a name points to itself or ahead');
      if (pointers > mostPointers) throw new DnsUnreadable(`a name has more than ${mostPointers} pointers`);
      if (text === '' && firstTarget < 0) {
        const before = known.get(target);
        if (before) return { text: before.text, end };
        firstTarget = target;
      }
      lowest = target;
      at = target;
      continue;
    }
    if (size > 63) throw new DnsUnreadable('a label has a length that none can have');
    if (size === 0) break;
    length += size + 1;
    if (length > mostNameBytes) throw new DnsUnreadable('a name is longer than 255 bytes');
    if (at + 1 + size > bytes.length) throw new DnsUnreadable('a name goes beyond its end');
    text += `${labelText(bytes, at + 1, at + 1 + size)}.`;
    at += size + 1;
  }
  const name = { text: text || '.', end: end < 0 ? at + 1 : end };
  if (firstTarget >= 0) known.set(firstTarget, name);
  return name;
}

function labelText(bytes: Buffer, start: number, end: number): string {
  const text = bytes.toString('latin1', start, end);
  if (/^[A-Za-z0-9_*/+-]*$/.test(text)) return text.toLowerCase();
  // RFC 1035, section 5.1: \. and \032. The case of letters means nothing, that of other bytes there is none of.
  return text
    .replace(/[A-Z]/g, (letter) => letter.toLowerCase())
    .replace(/[^!-~]|[."\\();@$]/g, (one) =>
      /[!-~]/.test(one) ? `\\${one}` : `\\${String(one.charCodeAt(0)).padStart(3, '0')}`,
    );
}
