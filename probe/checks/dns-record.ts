import ipaddr from 'ipaddr.js';
import { type DnsName, DnsUnreadable, type KnownNames, readName } from './dns-name.ts';

/** One record as it came. Texts are a stranger's. */
export interface DnsRecord {
  /** Lower case, with its last dot. */
  readonly name: string;
  readonly typeCode: number;
  /** `A`, or `TYPE65` where it has no name here (RFC 3597). */
  readonly type: string;
  readonly ttlSeconds: number;
  /** As in a master file: `10 mail.example.`, `"v=spf1 -all"`. */
  readonly data: string;
  /** As people write it: a TXT record's texts in one, without quotes. */
  readonly plain: string;
  /** Of a SOA record. */
  readonly serial: number | null;
  readonly raw: Buffer;
}

/** What stands in a record, up to its end: nothing is read beyond it but where a name points back to. */
interface Content {
  readonly bytes: Buffer;
  readonly start: number;
  readonly end: number;
  readonly known: KnownNames;
}

interface Read {
  readonly data: string;
  readonly plain?: string;
  readonly serial?: number;
}

interface Kind {
  readonly type: string;
  readonly read: (content: Content) => Read;
}

const kinds: ReadonlyMap<number, Kind> = new Map<number, Kind>([
  [1, { type: 'A', read: address(4) }],
  [2, { type: 'NS', read: oneName }],
  [5, { type: 'CNAME', read: oneName }],
  [6, { type: 'SOA', read: soa }],
  [12, { type: 'PTR', read: oneName }],
  [15, { type: 'MX', read: numbersAndName(1) }],
  [16, { type: 'TXT', read: texts }],
  [28, { type: 'AAAA', read: address(16) }],
  [33, { type: 'SRV', read: numbersAndName(3) }],
  [39, { type: 'DNAME', read: oneName }],
  [43, { type: 'DS', read: unknown }],
  [46, { type: 'RRSIG', read: unknown }],
  [47, { type: 'NSEC', read: unknown }],
  [48, { type: 'DNSKEY', read: unknown }],
  [50, { type: 'NSEC3', read: unknown }],
  [257, { type: 'CAA', read: caa }],
]);

export function readRecord(
  bytes: Buffer,
  at: number,
  known: KnownNames,
): { readonly record: DnsRecord; readonly end: number } {
  const name = readName(bytes, at, known);
  const start = name.end + 10;
  if (start > bytes.length) throw new DnsUnreadable('fewer records than it says');
  const typeCode = bytes.readUInt16BE(name.end);
  const dnsClass = bytes.readUInt16BE(name.end + 2);
  const end = start + bytes.readUInt16BE(name.end + 8);
  if (end > bytes.length) throw new DnsUnreadable('a record goes beyond its end');
  // Of another class (OPT has none) nothing is known.
  const kind = dnsClass === 1 ? kinds.get(typeCode) : undefined;
  const content: Content = { bytes, start, end, known };
  const { data, plain = data, serial = null } = (kind?.read ?? unknown)(content);
  const record = {
    name: name.text,
    typeCode,
    type: kind?.type ?? `TYPE${typeCode}`,
    ttlSeconds: bytes.readUInt32BE(name.end + 4),
    data,
    plain,
    serial,
    raw: bytes.subarray(start, end),
  };
  return { record, end };
}

/** As a line of a master file, with tabs between its parts. */
export function recordLine({ name, ttlSeconds, type, data }: DnsRecord): string {
  return `${name}\t${ttlSeconds}\tIN\t${type}\t${data}`;
}

function address(size: 4 | 16) {
  return ({ bytes, start, end }: Content): Read => {
    if (end - start !== size) throw new DnsUnreadable('an address has a wrong length');
    const parts = [...bytes.subarray(start, end)];
    return { data: size === 4 ? parts.join('.') : new ipaddr.IPv6(parts).toRFC5952String() };
  };
}

function oneName(content: Content): Read {
  const name = nameWithin(content, content.start);
  whole(content, name.end);
  return { data: name.text };
}

function numbersAndName(count: number) {
  return (content: Content): Read => {
    const { bytes, start, end } = content;
    if (start + count * 2 > end) throw new DnsUnreadable('a record ends too early');
    const numbers = Array.from({ length: count }, (_, index) => bytes.readUInt16BE(start + index * 2));
    const name = nameWithin(content, start + count * 2);
    whole(content, name.end);
    return { data: [...numbers, name.text].join(' ') };
  };
}

function soa(content: Content): Read {
  const { bytes, end } = content;
  const primary = nameWithin(content, content.start);
  const mail = nameWithin(content, primary.end);
  if (mail.end + 20 !== end) throw new DnsUnreadable('a SOA record has a wrong length');
  const numbers = [0, 4, 8, 12, 16].map((offset) => bytes.readUInt32BE(mail.end + offset));
  const [serial = 0] = numbers;
  return { data: [primary.text, mail.text, ...numbers].join(' '), serial };
}

function texts({ bytes, start, end }: Content): Read {
  const parts: string[] = [];
  for (let at = start; at < end; ) {
    const next = at + 1 + (bytes[at] ?? 0);
    if (next > end) throw new DnsUnreadable('a text goes beyond its record');
    parts.push(bytes.toString('utf8', at + 1, next));
    at = next;
  }
  return { data: parts.map(quoted).join(' '), plain: parts.join('') };
}

/** RFC 8659, section 4.1. */
function caa({ bytes, start, end }: Content): Read {
  const tagEnd = start + 2 + (bytes[start + 1] ?? 0);
  if (start + 2 > end || tagEnd > end) throw new DnsUnreadable('a CAA record ends too early');
  const tag = bytes.toString('latin1', start + 2, tagEnd).replace(/[^a-z0-9]/gi, '?');
  return { data: `${bytes[start] ?? 0} ${tag} ${quoted(bytes.toString('utf8', tagEnd, end))}` };
}

function unknown({ bytes, start, end }: Content): Read {
  return { data: `\\# ${end - start} ${bytes.toString('hex', start, end)}`.trimEnd() };
}

function nameWithin({ bytes, end, known }: Content, at: number): DnsName {
  if (at >= end) throw new DnsUnreadable('a record ends too early');
  const name = readName(bytes, at, known);
  if (name.end > end) throw new DnsUnreadable('a name goes beyond its record');
  return name;
}

function whole({ end }: Content, read: number): void {
  if (read !== end) throw new DnsUnreadable('a record is longer than what it holds');
}

const quoted = (text: string) => `"${text.replace(/["\\]/g, '\\$&')}"`;
