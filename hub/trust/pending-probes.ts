import { Problem } from '../problem.ts';
import type { RegisteredProbe } from './registry.ts';

/** Where probes wait that no operator has approved yet. */
export interface PendingProbes {
  /** Resolves with the probe as it is once an operator decided; throws Problem 403 when the time is up. */
  decided(probe: RegisteredProbe, signal: AbortSignal): Promise<RegisteredProbe>;
  lookAgain(): void;
  waiting(): number;
  /** Ends all waits, and those to come. */
  stop(): void;
}

/** `statusOf`: the probe as it is now, undefined where it was deleted. */
export function createPendingProbes(
  statusOf: (probeId: number) => RegisteredProbe | undefined,
  waitMs: number,
): PendingProbes {
  const checks = new Set<() => void>();
  let stopped = false;
  const lookAgain = () => {
    for (const check of [...checks]) check();
  };
  return {
    async decided({ id }, signal) {
      const { promise, resolve } = Promise.withResolvers<void>();
      const check = () => {
        if (stopped || statusOf(id)?.status !== 'pending') resolve();
      };
      const timer = setTimeout(resolve, waitMs);
      const gone = () => resolve();
      checks.add(check);
      signal.addEventListener('abort', gone, { once: true });
      check();
      await promise;
      clearTimeout(timer);
      checks.delete(check);
      signal.removeEventListener('abort', gone);
      signal.throwIfAborted();
      const current = statusOf(id);
      if (!current) throw unknownProbe();
      if (current.status !== 'pending') return current;
      throw new Problem(403, 'probe.pending', 'this probe waits for an operator: parallax probes approve', {
        headers: { 'retry-after': '1' },
      });
    },
    lookAgain,
    waiting: () => checks.size,
    stop() {
      stopped = true;
      lookAgain();
    },
  };
}

export function unknownProbe(): Problem {
  return new Problem(401, 'probe.unknown', 'no enrolled probe has this key: enroll it');
}
