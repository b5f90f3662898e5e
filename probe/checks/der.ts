/** One element of DER (X.690), as far as reading a known form needs it. */
export interface DerElement {
  readonly tag: number;
  readonly content: Buffer;
}

export const derTags = { octets: 0x04, oid: 0x06, enumerated: 0x0a, time: 0x18, sequence: 0x30 } as const;

/** The elements that fill these bytes; null where they are none. Lengths of more than 4 bytes are of no use here. */
export function derElements(bytes: Buffer): readonly DerElement[] | null {
  const found: DerElement[] = [];
  let at = 0;
  while (at < bytes.length) {
    const tag = bytes[at] ?? 0;
    const first = bytes[at + 1];
    // Tags of several bytes do not come here.
    if (first === undefined || (tag & 31) === 31) return null;
    const width = first < 128 ? 0 : first & 127;
    if (first === 128 || width > 4 || at + 2 + width > bytes.length) return null;
    const length = width === 0 ? first : bytes.readUIntBE(at + 2, width);
    const from = at + 2 + width;
    if (from + length > bytes.length) return null;
    found.push({ tag, content: bytes.subarray(from, from + length) });
    at = from + length;
  }
  return found;
}
