import type { Assignment } from '../../shared/assignment.ts';
import type { Observation } from '../../shared/result.ts';
import type { Checker, EvidenceWish } from '../checks/check.ts';
import type { Noise } from './noise.ts';

/** An attempt, and whether the process that measured it stood still meanwhile. */
export interface Measured {
  readonly observation: Observation;
  readonly disturbed: boolean;
}

/** A checker whose own thread is watched. */
export interface MeasuredChecker {
  check(assignment: Assignment, signal: AbortSignal, wish?: EvidenceWish | null): Promise<Measured>;
  /** As `Noise.minuteUs`, of the noisiest thread. */
  noiseUs(): number;
  close(): Promise<void>;
}

/** A stall is more than noise where it is this part of what was measured. */
const mostStallShare = 0.1;

export function measured(checker: Checker, noise: Noise): MeasuredChecker {
  return {
    async check(assignment, signal, wish) {
      const sinceMs = performance.now();
      const observation = await checker.check(assignment, signal, wish);
      const tookMs = performance.now() - sinceMs;
      return { observation, disturbed: noise.worstStallMs(sinceMs) > tookMs * mostStallShare };
    },
    noiseUs: noise.minuteUs,
    async close() {
      noise.stop();
      await checker.close();
    },
  };
}
