import ipaddr from 'ipaddr.js';

/** Types of records that can be asked for (IANA's registry of DNS parameters). */
export const dnsTypes = {
  A: 1,
  NS: 2,
  CNAME: 5,
  SOA: 6,
  PTR: 12,
  MX: 15,
  TXT: 16,
  AAAA: 28,
  SRV: 33,
  CAA: 257,
} as const;
export type DnsType = keyof typeof dnsTypes;

/** Response codes by number; those from 16 on need EDNS (RFC 6891). */
export const dnsRcodes = [
  'NOERROR',
  'FORMERR',
  'SERVFAIL',
  'NXDOMAIN',
  'NOTIMP',
  'REFUSED',
  'YXDOMAIN',
  'YXRRSET',
  'NXRRSET',
  'NOTAUTH',
  'NOTZONE',
] as const;

/** What is asked. */
export interface DnsQuestion {
  /** In ASCII and lower case, without the last dot: the root is the empty text. */
  readonly name: string;
  readonly type: DnsType;
}

/** What a URL asks, and whom. */
export interface DnsUrl extends DnsQuestion {
  /** As in the URL, IPv6 in brackets; null: the machine's resolvers. */
  readonly server: string | null;
  /** Null: the transport's own. */
  readonly port: number | null;
}

const form = 'dns://server/name?type=A or dns:///name?type=A';

/** Reads dns://[server[:port]]/name?type=A. An address asked for with type=PTR is its name in the reverse tree. */
export function dnsQuestionOf(url: URL): DnsUrl | { readonly problem: string } {
  for (const key of new Set(url.searchParams.keys())) {
    if (key !== 'type') return { problem: `'${key}' means nothing here: a question is written ${form}` };
  }
  const types = url.searchParams.getAll('type');
  const type = (types[0] ?? 'A').toUpperCase();
  if (types.length > 1) return { problem: 'a question has one type' };
  if (!Object.hasOwn(dnsTypes, type))
    return { problem: `'${type}' is no type that can be asked for: ${Object.keys(dnsTypes).join(', ')}` };
  if (url.hash) return { problem: `a question has no #: it is written ${form}` };
  const name = nameOf(url.pathname.replace(/^\//, ''), type as DnsType);
  if (typeof name !== 'string') return name;
  if (name === '' && types.length === 0)
    return {
      problem: `the URL has no name: it is written ${form} (with an empty name and a type: the root)`,
    };
  return {
    name,
    type: type as DnsType,
    server: url.hostname || null,
    port: url.port === '' ? null : Number(url.port),
  };
}

function nameOf(path: string, type: DnsType): string | { readonly problem: string } {
  let text: string;
  try {
    text = decodeURIComponent(path);
  } catch {
    return { problem: 'the name cannot be read: a % that stands for itself is written %25' };
  }
  if (type === 'PTR' && ipaddr.isValid(text) && /^[\da-f:]+:[\da-f:.]*$|^\d+\.\d+\.\d+\.\d+$/i.test(text))
    return reverseName(text);
  // Only letters beyond ASCII need the mapping that browsers do; it refuses names such as _dmarc.
  // biome-ignore lint/suspicious/noControlCharactersInRegex: ASCII as a range
  const ascii = /^[\u0000-\u007f]*$/.test(text) ? text : (URL.parse(`http://${text}`)?.hostname ?? '');
  const name = ascii.toLowerCase().replace(/\.$/, '');
  if (text === '' || name === '')
    return text === '' || text === '.' ? '' : { problem: `'${text}' is not a name that DNS can hold` };
  const fits = name.length <= 253 && name.split('.').every((label) => /^[!-~]{1,63}$/.test(label));
  return fits && !name.includes('\\') ? name : { problem: `'${text}' is not a name that DNS can hold` };
}

/** RFC 1035, section 3.5, and RFC 3596, section 2.5. */
function reverseName(address: string): string {
  const parsed = ipaddr.parse(address);
  const bytes = parsed.toByteArray().toReversed();
  if (parsed.kind() === 'ipv4') return `${bytes.join('.')}.in-addr.arpa`;
  const digits = bytes.map((byte) => `${(byte & 15).toString(16)}.${(byte >> 4).toString(16)}`);
  return `${digits.join('.')}.ip6.arpa`;
}
