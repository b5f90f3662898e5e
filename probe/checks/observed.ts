import type { Facts } from '../../shared/facts.ts';
import { type Failure, outcomeOf } from '../../shared/failure.ts';
import type { Observation, TlsFacts } from '../../shared/result.ts';
import { type Attempt, toUs } from './attempt.ts';

/** What one check found out so far; it is reported whatever comes after. */
export interface Findings {
  status: number | null;
  httpVersion: string | null;
  remoteIp: string | null;
  redirects: number;
  bytes: number;
  truncated: boolean;
  tls: TlsFacts | null;
  facts: Facts | null;
}

export const newFindings = (): Findings => ({
  status: null,
  httpVersion: null,
  remoteIp: null,
  redirects: 0,
  bytes: 0,
  truncated: false,
  tls: null,
  facts: null,
});

/** Why an answer that is good otherwise is degraded; without a failure it was slow. */
export interface Quality {
  readonly failure: Failure | null;
}

/** The observation of an attempt that took `totalMs`. `quality` counts only where nothing is wrong. */
export function observed(
  findings: Findings,
  { timings }: Pick<Attempt, 'timings'>,
  totalMs: number,
  wrong: Failure | null,
  quality: Quality | null,
): Observation {
  const { dns, connect, tls, wait, transfer } = timings;
  return {
    outcome: wrong ? outcomeOf(wrong.code) : quality ? 'degraded' : 'up',
    failure: wrong ?? quality?.failure ?? null,
    ...findings,
    evidence: null,
    timings: {
      dns: toUs(dns),
      connect: toUs(connect),
      tls: toUs(tls),
      wait: toUs(wait),
      transfer: toUs(transfer),
      total: Math.round(totalMs * 1000),
    },
  };
}

/** Of a check that did not run at all. */
export function notRun(why: Failure): Observation {
  const timings = { dns: null, connect: null, tls: null, wait: null, transfer: null };
  return observed(newFindings(), { timings }, 0, why, null);
}
