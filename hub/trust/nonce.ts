import { createHmac, timingSafeEqual } from 'node:crypto';
import type { HubKeys } from './keys.ts';
import { subkey } from './subkey.ts';

/** How long a nonce is taken. */
export const nonceTtlMs = 60_000;
/** How far the clock of the replica that issued it may be ahead of ours. */
const aheadMs = 5000;
const timeBytes = 6;
const macBytes = 16;

export interface Nonces {
  issueNonce(nowMs: number): string;
  nonceHolds(nonce: string, nowMs: number): boolean;
}

/** When it was made, and an HMAC over that: nothing is stored, and any replica with these keys knows its own. */
export function createNonces(keys: Pick<HubKeys, 'hmac'>): Nonces {
  function macOf(time: Uint8Array): Buffer {
    return createHmac('sha256', subkey(keys.hmac, 'nonce')).update(time).digest().subarray(0, macBytes);
  }
  return {
    issueNonce(nowMs) {
      const time = Buffer.alloc(timeBytes);
      time.writeUIntBE(Math.floor(nowMs), 0, timeBytes);
      return Buffer.concat([time, macOf(time)]).toString('base64url');
    },
    nonceHolds(nonce, nowMs) {
      if (!/^[A-Za-z0-9_-]{30}$/.test(nonce)) return false;
      const bytes = Buffer.from(nonce, 'base64url');
      const time = bytes.subarray(0, timeBytes);
      if (!timingSafeEqual(macOf(time), bytes.subarray(timeBytes))) return false;
      const agoMs = nowMs - time.readUIntBE(0, timeBytes);
      return agoMs < nonceTtlMs && agoMs > -aheadMs;
    },
  };
}
