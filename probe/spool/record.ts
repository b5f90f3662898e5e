import { crc32 } from 'node:zlib';

/** One entry of a segment file: what it is, and its bytes. */
export interface SpoolRecord {
  readonly type: number;
  readonly payload: Buffer;
}

export interface Scan {
  readonly records: readonly SpoolRecord[];
  /** Stretches of bytes that are no record, with a good record after them: something spoilt what was written. */
  readonly damaged: number;
  /** Where the last good record ends. */
  readonly goodEnd: number;
  /** Bytes stand after `goodEnd`: a write that was cut off, or damage at the very end. */
  readonly torn: boolean;
}

/**
 * Magic (4 bytes), type (1), length of the payload (3, big-endian), CRC-32 (4) over type, length and payload.
 * The magic's bytes never stand in UTF-8, and the CRC starts from a salt, so that no text from a stranger inside a
 * payload reads as a record where its own is damaged.
 */
const magic = Buffer.from([0xf5, 0xff, 0x50, 0xfe]);
const headBytes = 12;
export const maxPayloadBytes = 2 ** 24 - 1;

export function encodeRecord(type: number, payload: Uint8Array, salt: number): Buffer {
  if (payload.length > maxPayloadBytes) throw new RangeError(`${payload.length} bytes in one record`);
  const record = Buffer.allocUnsafe(headBytes + payload.length);
  magic.copy(record);
  record.writeUInt8(type, 4);
  record.writeUIntBE(payload.length, 5, 3);
  record.set(payload, headBytes);
  record.writeUInt32BE(checksum(record, salt), 8);
  return record;
}

/** Reads what can be read, over damage, whatever the bytes are. Never throws. */
export function scanRecords(bytes: Buffer, salt: number): Scan {
  const records: SpoolRecord[] = [];
  let damaged = 0;
  let goodEnd = 0;
  let at = 0;
  while (at >= 0 && at < bytes.length) {
    const end = recordEnd(bytes, at, salt);
    if (end === null) {
      at = bytes.indexOf(magic, at + 1);
      continue;
    }
    if (at > goodEnd) damaged += 1;
    records.push({ type: bytes.readUInt8(at + 4), payload: bytes.subarray(at + headBytes, end) });
    goodEnd = end;
    at = end;
  }
  return { records, damaged, goodEnd, torn: goodEnd < bytes.length };
}

/** Null where no good record begins at this place. */
function recordEnd(bytes: Buffer, at: number, salt: number): number | null {
  if (at + headBytes > bytes.length || bytes.compare(magic, 0, 4, at, at + 4) !== 0) return null;
  const end = at + headBytes + bytes.readUIntBE(at + 5, 3);
  if (end > bytes.length) return null;
  const record = bytes.subarray(at, end);
  return checksum(record, salt) === record.readUInt32BE(8) ? end : null;
}

function checksum(record: Buffer, salt: number): number {
  return crc32(record.subarray(headBytes), crc32(record.subarray(4, 8), salt));
}
