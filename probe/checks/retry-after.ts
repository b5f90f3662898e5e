import { type Failure, failure } from '../../shared/failure.ts';
import { headerValues } from './http-expect.ts';

/** What a server asked of one endpoint's checks, where that respects it. */
export interface RetryAfter {
  /** Why this check is not run: the server asked for a rest that is not over. */
  refuse(): Failure | null;
  /** Notes an answer of 429 or 503. */
  note(status: number, headers: readonly Buffer[]): void;
}

/** Who asks for more is asked again after this all the same: a monitor that is sent away for good sees nothing. */
const longestMs = 3_600_000;
/** A 429 that names no time. */
const usualMs = 60_000;

/** RFC 9110, section 10.2.3: seconds, or a date by the server's own clock. `nowMs`: epoch milliseconds. */
export function createRetryAfter(nowMs: () => number): RetryAfter {
  let untilMs = 0;
  return {
    refuse() {
      const leftMs = untilMs - nowMs();
      // A clock that was set back holds nobody off for longer than was asked.
      if (leftMs <= 0 || leftMs > longestMs) return null;
      const until = new Date(untilMs).toISOString().slice(0, 19);
      return failure('policy.retry_after', `the server asked not to be asked again before ${until} UTC`);
    },
    note(status, headers) {
      if (status !== 429 && status !== 503) return;
      const asked = askedMs(
        headerValues(headers, 'retry-after')[0],
        headerValues(headers, 'date')[0],
        nowMs(),
      );
      const restMs = asked ?? (status === 429 ? usualMs : 0);
      if (restMs > 0) untilMs = nowMs() + Math.min(restMs, longestMs);
    },
  };
}

function askedMs(text: string | undefined, date: string | undefined, nowMs: number): number | null {
  if (text === undefined) return null;
  if (/^\d{1,10}$/.test(text.trim())) return Number(text) * 1000;
  const atMs = Date.parse(text);
  const serverMs = Date.parse(date ?? '');
  return Number.isNaN(atMs) ? null : Math.max(0, atMs - (Number.isNaN(serverMs) ? nowMs : serverMs));
}
