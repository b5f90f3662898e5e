import { createGather, type Gather, type GatherOptions } from './gather.ts';

/**
 * Several gathers side by side, so that one transaction is filled and sent while another is at work in the database.
 * What belongs together by `keyOf` stays in order: while some of it waits, all of it goes the same way; else it goes
 * where least waits. No rule of numbers would do: of two replicas one has all even partitions.
 */
export function createLanes<Unit>(
  count: number,
  keyOf: (unit: Unit) => number | string,
  options: GatherOptions<Unit>,
): Gather<Unit> {
  const lanes = Array.from({ length: count }, () => ({ gather: createGather(options), size: 0 }));
  /** The lane of each key of which something waits. */
  const taken = new Map<number | string, { readonly lane: (typeof lanes)[number]; units: number }>();

  function emptiest(): (typeof lanes)[number] {
    return lanes.reduce((least, lane) => (lane.size < least.size ? lane : least));
  }

  return {
    async add(unit, signal) {
      const key = keyOf(unit);
      const size = options.sizeOf(unit);
      const way = taken.get(key) ?? { lane: emptiest(), units: 0 };
      taken.set(key, way);
      way.units += 1;
      way.lane.size += size;
      try {
        await way.lane.gather.add(unit, signal);
      } finally {
        way.lane.size -= size;
        way.units -= 1;
        if (way.units === 0) taken.delete(key);
      }
    },
  };
}
