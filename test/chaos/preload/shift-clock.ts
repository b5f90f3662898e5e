import { readFileSync } from 'node:fs';

/** A wall clock that is wrong: so far from the right one, and going so much faster since an instant of the right one. */
export interface Shift {
  readonly offsetMs: number;
  /** Parts per million; 0 where it only stands elsewhere. */
  readonly driftPpm: number;
  /** Epoch milliseconds, by the right clock. */
  readonly sinceMs: number;
}

export function shifted(rightMs: number, { offsetMs, driftPpm, sinceMs }: Shift): number {
  return rightMs + offsetMs + ((rightMs - sinceMs) * driftPpm) / 1_000_000;
}

const lookMs = 200;

/**
 * Loaded before a process's own code (`NODE_OPTIONS=--import=…`): its wall clock is shifted by what the file
 * PARALLAX_CHAOS_CLOCK says, looked at again every 200 ms. The steady clock is left alone, as a real step leaves it.
 */
const file = process.env.PARALLAX_CHAOS_CLOCK;
if (file) shiftClock(file);

function shiftClock(path: string): void {
  const RightDate = Date;
  let shift: Shift = { offsetMs: 0, driftPpm: 0, sinceMs: 0 };
  let lookedMs = Number.NEGATIVE_INFINITY;

  function now(): number {
    const steadyMs = performance.now();
    if (steadyMs - lookedMs >= lookMs) {
      lookedMs = steadyMs;
      try {
        shift = JSON.parse(readFileSync(path, 'utf8')) as Shift;
      } catch {
        // Not written yet, or half written: as before.
      }
    }
    return Math.trunc(shifted(RightDate.now(), shift));
  }

  globalThis.Date = new Proxy(RightDate, {
    construct: (target, args, newTarget) =>
      Reflect.construct(target, args.length === 0 ? [now()] : args, newTarget) as object,
    apply: () => new RightDate(now()).toString(),
    get: (target, key, receiver) => (key === 'now' ? now : Reflect.get(target, key, receiver)),
  });
}
