import type { Assignment } from '../../shared/assignment.ts';
import type { FailureCode } from '../../shared/failure.ts';
import type { Observation } from '../../shared/result.ts';
import type { EvidenceWish } from '../checks/check.ts';
import type { MeasuredChecker } from './measured.ts';

/** What came of a slot after its retries. */
export interface Attempted {
  /** Of the attempt that decides. */
  readonly observation: Observation;
  readonly disturbed: boolean;
  readonly attempts: number;
  /** The first attempt's failure where a retry changed it. */
  readonly firstFailure: FailureCode | null;
}

/**
 * Checks until it is not down, or the retries are used up, or another one could not end before `endUs`: then the
 * failure in hand counts. Aborting ends the attempt under way.
 */
export async function attempt(
  checker: MeasuredChecker,
  assignment: Assignment,
  {
    endUs,
    nowUs,
    signal,
    wish = null,
  }: {
    readonly endUs: number;
    readonly nowUs: () => number;
    readonly signal: AbortSignal;
    readonly wish?: EvidenceWish | null;
  },
): Promise<Attempted> {
  const { retries, timeoutMs } = assignment;
  let { observation, disturbed } = await checker.check(assignment, signal, wish);
  const first = observation.failure?.code ?? null;
  let attempts = 1;
  while (observation.outcome === 'down' && attempts <= retries.count && !signal.aborted) {
    if (nowUs() + (retries.delayMs + timeoutMs) * 1000 > endUs) break;
    if (!(await rest(retries.delayMs, signal))) break;
    const next = await checker.check(assignment, signal, wish);
    // One that this probe's own limits forbid tells nothing: the failure in hand counts.
    if (next.observation.failure?.code === 'probe.saturated') break;
    ({ observation, disturbed } = next);
    attempts += 1;
  }
  const changed = first !== null && first !== (observation.failure?.code ?? null);
  return { observation, disturbed, attempts, firstFailure: changed ? first : null };
}

/** False where it was cut short. */
function rest(ms: number, signal: AbortSignal): Promise<boolean> {
  return new Promise((done) => {
    const end = (whole: boolean) => {
      clearTimeout(timer);
      signal.removeEventListener('abort', cut);
      done(whole);
    };
    const cut = () => end(false);
    const timer = setTimeout(end, ms, true);
    signal.addEventListener('abort', cut, { once: true });
  });
}
