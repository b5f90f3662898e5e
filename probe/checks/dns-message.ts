import { type DnsQuestion, dnsRcodes, dnsTypes } from '../../shared/dns-question.ts';
import { extendedErrorOf } from './dns-extended-error.ts';
import { DnsUnreadable, type KnownNames } from './dns-name.ts';
import { type DnsRecord, readRecord } from './dns-record.ts';

/**
 * Questions written and answers read (RFC 1035, section 4). Every offset and length here is a stranger's. dns-packet
 * 5.6.1 follows pointers without a limit: one answer of 64 KiB whose 4,000 names end in a chain of 8,000 pointers
 * keeps it busy for 188 ms. It also reads names as UTF-8, where two of them can look the same. Tests hold this reader
 * against it.
 */
export interface DnsFlags {
  /** Authoritative answer. */
  readonly aa: boolean;
  /** Truncated. */
  readonly tc: boolean;
  /** Recursion desired. */
  readonly rd: boolean;
  /** Recursion available. */
  readonly ra: boolean;
  /** Authentic data: the resolver has validated it. */
  readonly ad: boolean;
  /** Checking disabled. */
  readonly cd: boolean;
}
export const dnsFlagNames = ['aa', 'tc', 'rd', 'ra', 'ad', 'cd'] as const satisfies (keyof DnsFlags)[];

/** What can be said of a message before its records are read. */
export interface DnsHead {
  readonly id: number;
  readonly isResponse: boolean;
  readonly flags: DnsFlags;
  /** The four bits of the header. */
  readonly rcode: number;
  readonly questions: number;
  readonly counts: readonly [answers: number, authority: number, additional: number];
}

export interface DnsMessage {
  readonly flags: DnsFlags;
  /** With the bits that EDNS adds. */
  readonly rcode: string;
  readonly answers: readonly DnsRecord[];
  readonly authority: readonly DnsRecord[];
  /** Without EDNS's own. */
  readonly additional: readonly DnsRecord[];
  readonly edns: boolean;
  /** Why the server has no better answer: `9 DNSKEY Missing (text of its own)`. From a stranger. */
  readonly extendedError: string | null;
}

const headBytes = 12;
const optType = 41;
/** Fragments of a datagram are lost and forged: DNS flag day 2020. */
const udpPayload = 1232;

export interface DnsQuery extends DnsQuestion {
  readonly recursion: boolean;
  readonly dnssec: boolean;
  readonly edns: boolean;
}

/** The question section: name, type, class IN. `mix` turns the case of letters at random (its bits, label by label). */
export function questionBytes({ name, type }: DnsQuestion, mix: Uint8Array | null): Buffer {
  const parts: Buffer[] = [];
  for (const label of name === '' ? [] : name.split('.')) {
    const bytes = Buffer.from(label, 'latin1');
    parts.push(Buffer.from([bytes.length]), bytes);
  }
  const tail = Buffer.alloc(5);
  tail.writeUInt16BE(dnsTypes[type], 1);
  tail.writeUInt16BE(1, 3);
  const whole = Buffer.concat([...parts, tail]);
  if (!mix) return whole;
  const end = whole.length - tail.length;
  for (let at = 0; at < end; at += 1) {
    const byte = whole[at] ?? 0;
    const isLetter = byte >= 0x61 && byte <= 0x7a;
    // A length is at most 63, and never looks like a letter.
    if (isLetter && ((mix[at >> 3] ?? 0) >> (at & 7)) & 1) whole[at] = byte - 0x20;
  }
  return whole;
}

/** A whole query around a question. */
export function writeQuery(id: number, { recursion, dnssec, edns }: DnsQuery, question: Buffer): Buffer {
  const head = Buffer.alloc(headBytes);
  head.writeUInt16BE(id, 0);
  // AD in a query: whoever sets it understands it in the answer (RFC 6840, section 5.7).
  head.writeUInt16BE((recursion ? 0x0100 : 0) | 0x0020, 2);
  head.writeUInt16BE(1, 4);
  if (!edns) return Buffer.concat([head, question]);
  head.writeUInt16BE(1, 10);
  const opt = Buffer.alloc(11);
  opt.writeUInt16BE(optType, 1);
  opt.writeUInt16BE(udpPayload, 3);
  opt.writeUInt16BE(dnssec ? 0x8000 : 0, 7);
  return Buffer.concat([head, question, opt]);
}

/** Null where there are not even a header's bytes. */
export function readHead(bytes: Buffer): DnsHead | null {
  if (bytes.length < headBytes) return null;
  const bits = bytes.readUInt16BE(2);
  const bit = (at: number) => ((bits >> at) & 1) === 1;
  return {
    id: bytes.readUInt16BE(0),
    isResponse: bit(15) && ((bits >> 11) & 15) === 0,
    flags: { aa: bit(10), tc: bit(9), rd: bit(8), ra: bit(7), ad: bit(5), cd: bit(4) },
    rcode: bits & 15,
    questions: bytes.readUInt16BE(4),
    counts: [bytes.readUInt16BE(6), bytes.readUInt16BE(8), bytes.readUInt16BE(10)],
  };
}

/** Whether a message holds this question and no other: its very bytes, or the same but for the case of letters. */
export function sameQuestion(
  bytes: Buffer,
  { questions }: DnsHead,
  question: Buffer,
): 'exact' | 'case' | null {
  if (questions !== 1 || bytes.length < headBytes + question.length) return null;
  const own = bytes.subarray(headBytes, headBytes + question.length);
  if (own.equals(question)) return 'exact';
  const lower = (text: Buffer) => text.toString('latin1').toLowerCase();
  return lower(own) === lower(question) ? 'case' : null;
}

/** Everything after the question, or what is wrong with it. `question`: how many bytes it has. */
export function readMessage(bytes: Buffer, question: number): DnsMessage | { readonly problem: string } {
  const head = readHead(bytes);
  if (!head) return { problem: 'it has no header' };
  const names: KnownNames = new Map();
  const edns: DnsRecord[] = [];
  let at = headBytes + question;
  const section = (count: number): DnsRecord[] => {
    const records: DnsRecord[] = [];
    for (let left = count; left > 0; left -= 1) {
      const read = readRecord(bytes, at, names);
      at = read.end;
      (read.record.typeCode === optType ? edns : records).push(read.record);
    }
    return records;
  };
  try {
    const [answers, authority, additional] = head.counts.map(section) as [
      DnsRecord[],
      DnsRecord[],
      DnsRecord[],
    ];
    const opt = edns[0];
    // OPT keeps the upper eight bits of the code where others have their TTL.
    const rcode = head.rcode | (opt ? ((opt.ttlSeconds >>> 24) & 0xff) << 4 : 0);
    return {
      flags: head.flags,
      rcode: rcodeName(rcode),
      answers,
      authority,
      additional,
      edns: opt !== undefined,
      extendedError: opt ? extendedErrorOf(opt.raw) : null,
    };
  } catch (error) {
    if (error instanceof DnsUnreadable) return { problem: error.message };
    throw error;
  }
}

export function rcodeName(code: number): string {
  return dnsRcodes[code] ?? (code === 16 ? 'BADVERS' : `RCODE${code}`);
}
