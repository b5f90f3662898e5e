import { setTimeout as sleep } from 'node:timers/promises';

/** Full jitter: each wait is random up to a bound that doubles, so that many probes never come back in step. */
export interface Backoff {
  /** Resolves early, and never rejects, when `signal` aborts. */
  wait(signal: AbortSignal): Promise<void>;
  reset(): void;
}

export function createBackoff(
  { firstMs, mostMs }: { readonly firstMs: number; readonly mostMs: number },
  random: () => number = Math.random,
): Backoff {
  let boundMs = firstMs;
  return {
    async wait(signal) {
      // A quarter at least: never at once.
      const ms = boundMs * (0.25 + 0.75 * random());
      boundMs = Math.min(boundMs * 2, mostMs);
      await sleep(ms, undefined, { signal }).catch(() => undefined);
    },
    reset() {
      boundMs = firstMs;
    },
  };
}
