import { createHash } from 'node:crypto';

/** The first eight bytes of a SHA-256, big-endian: the one hash that spreads slots and shards. */
export function u64(text: string): bigint {
  return createHash('sha256').update(text).digest().readBigUInt64BE(0);
}

/** Microseconds in [0, interval): where in its interval an endpoint is due as seen from one region. */
export function phaseOf(endpointId: number, regionId: number, intervalUs: number): number {
  return Number(u64(`${endpointId}|${regionId}`) % BigInt(intervalUs));
}

/** First slot strictly after `afterUs`: scheduledAt = k * interval + phase, epoch microseconds. */
export function nextSlot(afterUs: number, intervalUs: number, phaseUs: number): number {
  const k = Math.floor((afterUs - phaseUs) / intervalUs) + 1;
  return k * intervalUs + phaseUs;
}

/** The last slot at or before `atUs`. */
export function slotAt(atUs: number, intervalUs: number, phaseUs: number): number {
  return Math.floor((atUs - phaseUs) / intervalUs) * intervalUs + phaseUs;
}

/** A new or edited endpoint is also due at once: one extra slot, spread over at most 10 s after the change. */
export const extraSpreadUs = 10_000_000;

export function extraSlot(endpointId: number, regionId: number, rev: number, changedAtUs: number): number {
  return changedAtUs + Number(u64(`extra|${endpointId}|${regionId}|${rev}`) % BigInt(extraSpreadUs));
}

export const shardCount = 256;

/** Which of a region's 256 shards an endpoint belongs to. */
export function shardOf(endpointId: number): number {
  return Number(u64(String(endpointId)) % BigInt(shardCount));
}
