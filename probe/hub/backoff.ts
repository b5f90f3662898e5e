import { setTimeout as sleep } from 'node:timers/promises';

/** Full jitter: each wait is random up to a bound that doubles, so that many probes never come back in step. */
export interface Backoff {
  /**
   * Resolves early, and never rejects, when `signal` aborts. `leastMs` comes on top: what a hub asks for with
   * Retry-After is the same for all its probes, and would bring them back in step.
   */
  wait(signal: AbortSignal, leastMs?: number): Promise<void>;
  reset(): void;
}

export function createBackoff(
  { firstMs, mostMs }: { readonly firstMs: number; readonly mostMs: number },
  random: () => number = Math.random,
  pause: (ms: number, signal: AbortSignal) => Promise<void> = sleepOrAbort,
): Backoff {
  let boundMs = firstMs;
  return {
    async wait(signal, leastMs = 0) {
      // A quarter at least: never at once.
      const ms = leastMs + boundMs * (0.25 + 0.75 * random());
      boundMs = Math.min(boundMs * 2, mostMs);
      await pause(ms, signal);
    },
    reset() {
      boundMs = firstMs;
    },
  };
}

async function sleepOrAbort(ms: number, signal: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { signal }).catch(() => undefined);
}
