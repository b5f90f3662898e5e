/** What was looked up is believed for a few seconds, at most so many at once: the oldest goes first. */
export interface ShortCache<Value> {
  /** Looks up what is not known or too old; what was not found is asked for again each time. */
  get(key: string, look: () => Promise<Value | null>): Promise<Value | null>;
  forget(key: string): void;
  clear(): void;
}

export function shortCache<Value>(forMs: number, most: number, clockMs: () => number): ShortCache<Value> {
  const known = new Map<string, { value: Value; untilMs: number }>();
  let generation = 0;
  return {
    async get(key, look) {
      const held = known.get(key);
      if (held && held.untilMs > clockMs()) return held.value;
      known.delete(key);
      const asked = generation;
      const untilMs = clockMs() + forMs;
      const value = await look();
      // What was forgotten while it was looked up must not come back.
      if (value === null || asked !== generation) return value;
      const oldest = known.size >= most ? known.keys().next().value : undefined;
      if (oldest !== undefined) known.delete(oldest);
      known.set(key, { value, untilMs });
      return value;
    },
    forget(key) {
      generation += 1;
      known.delete(key);
    },
    clear() {
      generation += 1;
      known.clear();
    },
  };
}
