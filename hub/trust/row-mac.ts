import { createHmac, timingSafeEqual } from 'node:crypto';
import { subkey } from './subkey.ts';

export type RowField = string | number | null;

/**
 * HMAC-SHA256 over a row's deciding fields: one who can only write to the database cannot make a row that holds.
 * `kind` ('probe', 'endpoint', 'api_token', 'session') separates the tables. Every part is written with its type and length, so that no two
 * different rows are the same bytes. Throws RangeError for a number that is not finite.
 */
export function rowMac(hmac: Uint8Array, kind: string, fields: readonly RowField[]): Buffer {
  const mac = createHmac('sha256', subkey(hmac, 'row'));
  for (const part of [kind, fields.length, ...fields]) mac.update(encodeField(part));
  return mac.digest();
}

/** Compares in constant time. */
export function rowMacHolds(
  hmac: Uint8Array,
  kind: string,
  fields: readonly RowField[],
  mac: Uint8Array,
): boolean {
  return mac.length === 32 && timingSafeEqual(rowMac(hmac, kind, fields), mac);
}

const tagBytes = 5;

function encodeField(field: RowField): Buffer {
  if (typeof field === 'number' && !Number.isFinite(field)) throw new RangeError(`${field} has no row form`);
  const text = Buffer.from(field === null ? '' : String(field), 'utf8');
  const encoded = Buffer.allocUnsafe(tagBytes + text.length);
  encoded.write(field === null ? 'n' : typeof field === 'number' ? 'd' : 's', 0, 'latin1');
  encoded.writeUInt32BE(text.length, 1);
  text.copy(encoded, tagBytes);
  return encoded;
}
