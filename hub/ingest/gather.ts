export interface GatherOptions<Unit> {
  /** A group is handed on when it holds this much, by `sizeOf`, or when its first unit has waited this long. */
  readonly maxSize: number;
  readonly maxMs: number;
  readonly sizeOf: (unit: Unit) => number;
  /** What failed, by unit; throws where the whole group failed. */
  readonly store: (group: readonly Unit[]) => Promise<ReadonlyMap<Unit, Error>>;
}

export interface Gather<Unit> {
  /** Resolves when the unit's group is stored. An abort takes back what has not begun. */
  add(unit: Unit, signal: AbortSignal): Promise<void>;
}

interface Waiting<Unit> {
  readonly unit: Unit;
  readonly sinceMs: number;
  readonly settle: (error: Error | null) => void;
}

/** Makes groups of what many callers bring, one group at a time, in order. Holds only what its callers wait for. */
export function createGather<Unit>({ maxSize, maxMs, sizeOf, store }: GatherOptions<Unit>): Gather<Unit> {
  const waiting: Waiting<Unit>[] = [];
  let size = 0;
  let storing = false;
  let timer: NodeJS.Timeout | undefined;

  function next(): void {
    const first = waiting[0];
    if (storing || !first) return;
    clearTimeout(timer);
    const leftMs = first.sinceMs + maxMs - performance.now();
    if (size >= maxSize || leftMs <= 0) void flush();
    else timer = setTimeout(next, leftMs);
  }

  async function flush(): Promise<void> {
    const group = takeGroup();
    storing = true;
    let failed: ReadonlyMap<Unit, Error> | Error;
    try {
      failed = await store(group.map((one) => one.unit));
    } catch (error) {
      failed = error instanceof Error ? error : new Error(String(error));
    }
    for (const { unit, settle } of group) {
      settle(failed instanceof Error ? failed : (failed.get(unit) ?? null));
    }
    storing = false;
    next();
  }

  function takeGroup(): Waiting<Unit>[] {
    let taken = 0;
    let count = 0;
    for (const { unit } of waiting) {
      if (count > 0 && taken + sizeOf(unit) > maxSize) break;
      taken += sizeOf(unit);
      count += 1;
    }
    size -= taken;
    return waiting.splice(0, count);
  }

  return {
    add(unit, signal) {
      return new Promise((resolve, reject) => {
        if (signal.aborted) return reject(signal.reason);
        const one: Waiting<Unit> = {
          unit,
          sinceMs: performance.now(),
          settle(error) {
            signal.removeEventListener('abort', takeBack);
            if (error) reject(error);
            else resolve();
          },
        };
        const takeBack = () => {
          const at = waiting.indexOf(one);
          if (at < 0) return;
          waiting.splice(at, 1);
          size -= sizeOf(unit);
          reject(signal.reason);
        };
        signal.addEventListener('abort', takeBack, { once: true });
        waiting.push(one);
        size += sizeOf(unit);
        next();
      });
    },
  };
}
