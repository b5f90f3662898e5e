/** Probes that lately sent a slot that was stored already: in a copy one such row makes all others be done again. */
export interface Repeaters {
  has(probeId: number): boolean;
  note(probeId: number): void;
}

/** How long a probe is remembered after its last repetition. */
const rememberedMs = 60_000;
const mostProbes = 10_000;

/** `now`: monotonic milliseconds. */
export function createRepeaters(now: () => number = () => performance.now()): Repeaters {
  const untilMs = new Map<number, number>();
  return {
    has(probeId) {
      const until = untilMs.get(probeId);
      if (until === undefined) return false;
      if (until > now()) return true;
      untilMs.delete(probeId);
      return false;
    },
    note(probeId) {
      // Last in the map is who was noted last: the first is let go of.
      untilMs.delete(probeId);
      const [first] = untilMs.keys();
      if (untilMs.size >= mostProbes && first !== undefined) untilMs.delete(first);
      untilMs.set(probeId, now() + rememberedMs);
    },
  };
}

const known = new WeakMap<object, Repeaters>();

/** One memory for all that is stored through the same connections. */
export function repeatersOf(db: object): Repeaters {
  const repeaters = known.get(db) ?? createRepeaters();
  known.set(db, repeaters);
  return repeaters;
}
