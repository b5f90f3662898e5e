import { failure } from '../../shared/failure.ts';
import { notRun } from '../checks/observed.ts';
import type { MeasuredChecker } from './measured.ts';

/** Why this probe may not run one more check now, or null. Asked once for each attempt. */
export type Limit = () => string | null;

/** Attempts that a limit of this probe's own forbids are not run, and say so: they are nobody's failure. */
export function limited(checker: MeasuredChecker, limits: readonly Limit[]): MeasuredChecker {
  if (limits.length === 0) return checker;
  return {
    ...checker,
    check(assignment, signal, wish) {
      for (const limit of limits) {
        const why = limit();
        if (why === null) continue;
        return Promise.resolve({ observation: notRun(failure('probe.saturated', why)), disturbed: false });
      }
      return checker.check(assignment, signal, wish);
    },
  };
}

/** At most so many a second; as many may come at once after a pause. */
export function rateLimit(perSecond: number, nowMs: () => number = () => performance.now()): Limit {
  let tokens = perSecond;
  let atMs = nowMs();
  return () => {
    const now = nowMs();
    tokens = Math.min(perSecond, tokens + (Math.max(0, now - atMs) / 1000) * perSecond);
    atMs = now;
    if (tokens < 1) return `this probe runs at most ${perSecond} checks a second (--max-rate)`;
    tokens -= 1;
    return null;
  };
}

const lookEveryMs = 1000;
/** It goes on when it is so far below. */
const calmShare = 0.95;

export interface MemoryLimit {
  readonly limit: Limit;
  /** Whether it is above now: then the hub is to give it less. */
  over(): boolean;
  stop(): void;
}

/** None run while the process holds more than `maxBytes` of resident memory; looked at once a second. */
export function memoryLimit(maxBytes: number, rss: () => number = process.memoryUsage.rss): MemoryLimit {
  let over = false;
  const look = () => {
    over = rss() > (over ? maxBytes * calmShare : maxBytes);
  };
  const timer = setInterval(look, lookEveryMs);
  timer.unref();
  const why = `this probe's memory is above ${Math.round(maxBytes / 1_048_576)} MiB (--max-memory)`;
  return { limit: () => (over ? why : null), over: () => over, stop: () => clearInterval(timer) };
}
