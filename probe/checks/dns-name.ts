/** What a server sent is not a DNS message. */
export class DnsUnreadable extends Error {}

export interface DnsName {
  /** As in a master file: lower case, what is no plain character escaped, with its last dot. */
  readonly text: string;
  /** The first byte after it, where it stands. */
  readonly end: number;
}

/** A name, or the rest of one, by where it begins. */
interface Suffix {
  /** Empty for the root. */
  readonly text: string;
  readonly end: number;
  /** Bytes of the whole name on the wire. */
  readonly length: number;
}
export type KnownNames = Map<number, Suffix>;

/** RFC 1035, section 3.1. */
const mostNameBytes = 255;

interface Step {
  readonly at: number;
  /** Of the label that begins here; null: a pointer. */
  readonly size: number | null;
}

/**
 * RFC 1035, section 4.1.4: labels, and pointers that lead back. `known` holds whatever was read before, each label by
 * where it stands: no byte is looked at twice, so that a message costs by its size, however its names are woven.
 */
export function readName(bytes: Buffer, start: number, known: KnownNames): DnsName {
  const steps: Step[] = [];
  let lowest = start;
  let at = start;
  let rest: Suffix | undefined;
  for (;;) {
    rest = known.get(at);
    if (rest) break;
    const size = bytes[at];
    if (size === undefined) throw new DnsUnreadable('a name goes beyond its end');
    if (size === 0) {
      rest = { text: '', end: at + 1, length: 1 };
      break;
    }
    if (size >= 0xc0) {
      const low = bytes[at + 1];
      if (low === undefined) throw new DnsUnreadable('a name goes beyond its end');
      const target = ((size & 0x3f) << 8) | low;
      if (target >= lowest) throw new DnsUnreadable('a name points to itself or ahead');
      steps.push({ at, size: null });
      lowest = target;
      at = target;
      continue;
    }
    if (size > 63) throw new DnsUnreadable('a label has a length that none can have');
    if (at + 1 + size > bytes.length) throw new DnsUnreadable('a name goes beyond its end');
    steps.push({ at, size });
    at += size + 1;
  }
  for (let index = steps.length - 1; index >= 0; index -= 1) {
    const step = steps[index];
    if (!step) break;
    rest = joined(bytes, step, rest);
    known.set(step.at, rest);
  }
  return { text: rest.text || '.', end: rest.end };
}

function joined(bytes: Buffer, { at, size }: Step, { text, end, length }: Suffix): Suffix {
  if (size === null) return { text, length, end: at + 2 };
  if (length + size + 1 > mostNameBytes) throw new DnsUnreadable('a name is longer than 255 bytes');
  return { text: `${labelText(bytes, at + 1, at + 1 + size)}.${text}`, length: length + size + 1, end };
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
