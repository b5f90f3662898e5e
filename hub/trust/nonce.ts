import { createHmac, timingSafeEqual } from 'node:crypto';
import type { HubKeys } from './keys.ts';
import { subkey } from './subkey.ts';

/** How long a nonce is taken. */
export const nonceTtlMs = 60_000;
/** How far the clock of the replica that issued it may be ahead of ours. */
const aheadMs = 5000;
const timeBytes = 6;
const macBytes = 16;
/** Nonces of so many milliseconds are the same one: ten thousand probes ask 1,250 times a second, and an HMAC takes 15 us. */
const stepMs = 100;
/** Replicas' steps of a minute, and those of a clock that is ahead. */
const mostKnown = 1000;

export interface Nonces {
  issueNonce(nowMs: number): string;
  nonceHolds(nonce: string, nowMs: number): boolean;
}

/** When it was made, and an HMAC over that: nothing is stored, and any replica with these keys knows its own. */
export function createNonces(keys: Pick<HubKeys, 'hmac'>): Nonces {
  /** HMACs by time, of whole steps alone: whoever makes times up finds none to fill it with in his minute. */
  const known = new Map<number, Buffer>();
  let knownKey = keys.hmac;

  function macOf(timeMs: number): Buffer {
    if (knownKey !== keys.hmac) known.clear();
    knownKey = keys.hmac;
    const kept = known.get(timeMs);
    if (kept) return kept;
    const mac = createHmac('sha256', subkey(keys.hmac, 'nonce'))
      .update(timeOf(timeMs))
      .digest()
      .subarray(0, macBytes);
    if (timeMs % stepMs === 0) known.set(timeMs, mac);
    const [oldest] = known.keys();
    if (known.size > mostKnown && oldest !== undefined) known.delete(oldest);
    return mac;
  }

  return {
    issueNonce(nowMs) {
      const timeMs = Math.floor(nowMs / stepMs) * stepMs;
      return Buffer.concat([timeOf(timeMs), macOf(timeMs)]).toString('base64url');
    },
    nonceHolds(nonce, nowMs) {
      if (!/^[A-Za-z0-9_-]{30}$/.test(nonce)) return false;
      const bytes = Buffer.from(nonce, 'base64url');
      const timeMs = bytes.readUIntBE(0, timeBytes);
      const agoMs = nowMs - timeMs;
      if (agoMs >= nonceTtlMs || agoMs <= -aheadMs) return false;
      return timingSafeEqual(macOf(timeMs), bytes.subarray(timeBytes));
    },
  };
}

function timeOf(timeMs: number): Buffer {
  const time = Buffer.alloc(timeBytes);
  time.writeUIntBE(timeMs, 0, timeBytes);
  return time;
}
