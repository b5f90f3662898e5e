type Regions = ReadonlySet<string> | 'all';

interface Known {
  now: Regions;
  /** For a deleted endpoint, when it was; null while it stands. */
  deletedAtUs: number | null;
  readonly past: { readonly regions: Regions; readonly untilUs: number }[];
  /** All of them together, good until the first of them is too old. */
  together: { readonly regions: Regions; readonly untilUs: number } | null;
}

/** From where results of an endpoint may come: its regions, and those it had within `keptUs` before now. */
export interface RegionHistory {
  now(id: number, regions: readonly string[], deletedAtUs: number | null): void;
  past(id: number, regions: readonly string[], untilUs: number): void;
  forget(id: number): void;
  /** The same set for the same names, so that what is made of it can be kept. */
  of(id: number): Regions | undefined;
}

/** `clock`: epoch microseconds. */
export function createRegionHistory(clock: () => number, keptUs: number): RegionHistory {
  const known = new Map<number, Known>();
  // Many endpoints have the same few sets of regions.
  const sets = new Map<string, ReadonlySet<string>>();
  const setOf = (names: Iterable<string>): Regions => {
    const sorted = [...new Set(names)].sort();
    if (sorted.length === 0) return 'all';
    const key = sorted.join(' ');
    const kept = sets.get(key) ?? new Set(sorted);
    sets.set(key, kept);
    return kept;
  };

  function together({ now, deletedAtUs, past }: Known): { regions: Regions; untilUs: number } {
    const valid = past.filter(({ untilUs }) => untilUs + keptUs > clock());
    const ends = [...valid.map(({ untilUs }) => untilUs), ...(deletedAtUs === null ? [] : [deletedAtUs])];
    const all = [now, ...valid.map(({ regions }) => regions)];
    const regions = all.includes('all') ? 'all' : setOf(all.flatMap((one) => [...one]));
    return { regions, untilUs: Math.min(...ends, Number.MAX_SAFE_INTEGER - keptUs) + keptUs };
  }

  return {
    now(id, names, deletedAtUs) {
      const before = known.get(id);
      known.set(id, { now: setOf(names), deletedAtUs, past: before?.past ?? [], together: null });
    },
    past(id, names, untilUs) {
      const one = known.get(id);
      if (!one || one.past.some((other) => other.untilUs === untilUs)) return;
      one.past.push({ regions: setOf(names), untilUs });
      one.together = null;
    },
    forget: (id) => void known.delete(id),
    of(id) {
      const one = known.get(id);
      if (!one) return undefined;
      if (one.deletedAtUs !== null && one.deletedAtUs + keptUs <= clock()) return undefined;
      if (!one.together || one.together.untilUs <= clock()) one.together = together(one);
      return one.together.regions;
    },
  };
}
