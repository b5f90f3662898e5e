/** How far behind reading of a partition is, in messages. */
export interface PartitionLag {
  readonly partition: number;
  readonly lag: number;
}

/**
 * Where this member reads its partitions: the next offset of each, and the end of its log as last seen. They hold for
 * one generation of the group: a handler that still runs for the one before changes nothing any more.
 */
export interface Places {
  generation(): number;
  /** The group was shared out anew: nothing is ours until it is seated. */
  begin(): number;
  set(generation: number, partition: number, next: number): void;
  at(partition: number): number | undefined;
  sawEnd(partition: number, end: number): void;
  offsets(): readonly (readonly [partition: number, next: number])[];
  /** Of those of our partitions whose end is known, in their order. */
  lags(): readonly PartitionLag[];
}

export function createPlaces(): Places {
  const next = new Map<number, number>();
  const ends = new Map<number, number>();
  let current = 0;
  return {
    generation: () => current,
    begin() {
      next.clear();
      ends.clear();
      current += 1;
      return current;
    },
    set(generation, partition, offset) {
      if (generation === current) next.set(partition, offset);
    },
    at: (partition) => next.get(partition),
    sawEnd: (partition, end) => ends.set(partition, end),
    offsets: () => [...next],
    lags: () =>
      [...next]
        .map(([partition, offset]) => ({
          partition,
          lag: Math.max(0, (ends.get(partition) ?? offset) - offset),
        }))
        .sort((a, b) => a.partition - b.partition),
  };
}
