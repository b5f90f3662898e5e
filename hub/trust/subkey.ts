import { hkdfSync } from 'node:crypto';

export type SubkeyUse = 'row' | 'nonce' | 'check' | 'operator';

const derived = new WeakMap<Uint8Array, Map<SubkeyUse, Buffer>>();

/** A key of its own for each use, by HKDF-SHA256 (RFC 5869), so that no output of one use is ever one of another. */
export function subkey(hmac: Uint8Array, use: SubkeyUse): Buffer {
  const known = derived.get(hmac) ?? new Map<SubkeyUse, Buffer>();
  derived.set(hmac, known);
  const kept = known.get(use);
  if (kept) return kept;
  if (hmac.length !== 32) throw new RangeError(`the HMAC key has ${hmac.length} bytes instead of 32`);
  const key = Buffer.from(hkdfSync('sha256', hmac, '', `parallax/${use}/v1`, 32));
  known.set(use, key);
  return key;
}
