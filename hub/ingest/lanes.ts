import { createGather, type Gather, type GatherOptions } from './gather.ts';

/**
 * Several gathers side by side, so that one transaction is filled and sent while another is at work in the database.
 * What belongs together by `keyOf` stays in its lane, in order.
 */
export function createLanes<Unit>(
  count: number,
  keyOf: (unit: Unit) => number | string,
  options: GatherOptions<Unit>,
): Gather<Unit> {
  const lanes = Array.from({ length: count }, () => createGather(options));
  return {
    add(unit, signal) {
      const key = keyOf(unit);
      const lane = lanes[(typeof key === 'number' ? key : hashOf(key)) % count];
      if (!lane) throw new RangeError(`no lane for ${key}`);
      return lane.add(unit, signal);
    },
  };
}

/** FNV-1a, 32 bits: keys are random ids, or a liar's, whom a crooked lane would cost his own time. */
function hashOf(key: string): number {
  let hash = 0x811c_9dc5;
  for (let at = 0; at < key.length; at += 1) hash = Math.imul(hash ^ key.charCodeAt(at), 0x0100_0193);
  return hash >>> 0;
}
