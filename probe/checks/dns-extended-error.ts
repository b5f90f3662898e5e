/** RFC 8914, section 4, by code. */
const meanings = [
  'Other Error',
  'Unsupported DNSKEY Algorithm',
  'Unsupported DS Digest Type',
  'Stale Answer',
  'Forged Answer',
  'DNSSEC Indeterminate',
  'DNSSEC Bogus',
  'Signature Expired',
  'Signature Not Yet Valid',
  'DNSKEY Missing',
  'RRSIGs Missing',
  'No Zone Key Bit Set',
  'NSEC Missing',
  'Cached Error',
  'Not Ready',
  'Blocked',
  'Censored',
  'Filtered',
  'Prohibited',
  'Stale NXDOMAIN Answer',
  'Not Authoritative',
  'Not Supported',
  'No Reachable Authority',
  'Network Error',
  'Invalid Data',
] as const;

const optionCode = 15;

/** The first extended error among EDNS options, with its number, its meaning and what the server adds; else null. */
export function extendedErrorOf(options: Buffer): string | null {
  for (let at = 0; at + 4 <= options.length; ) {
    const length = options.readUInt16BE(at + 2);
    const data = options.subarray(at + 4, at + 4 + length);
    if (options.readUInt16BE(at) === optionCode && data.length >= 2) {
      const code = data.readUInt16BE(0);
      const text = data.toString('utf8', 2).replace(/\0+$/, '');
      return [String(code), meanings[code] ?? '', text === '' ? '' : `(${text})`].filter(Boolean).join(' ');
    }
    at += 4 + length;
  }
  return null;
}
