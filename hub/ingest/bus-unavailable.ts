import { Problem } from '../problem.ts';

/** What a probe on the relay reads: its spool keeps the batch and comes again. */
export function busUnavailable(detail: string, retryAfterSeconds = 2): Problem {
  return new Problem(503, 'bus.unavailable', detail, {
    headers: { 'retry-after': String(retryAfterSeconds) },
  });
}
