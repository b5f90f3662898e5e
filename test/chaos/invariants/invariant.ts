import type { Signed } from '../kafka-log.ts';
import type { ChaosNetwork } from '../network.ts';
import type { Acknowledged } from '../spools.ts';

/** What the checker has gathered from outside, once a round, for all invariants. */
export interface Evidence {
  readonly network: ChaosNetwork;
  /** Everything any spool ever held, apart from what is settled. */
  readonly acknowledged: ReadonlyMap<string, Acknowledged>;
  /** Keys of the results table, apart from what is settled. */
  readonly stored: ReadonlySet<string>;
  /** Everything with a good signature that was ever on the topic, apart from what is settled. */
  readonly signed: ReadonlyMap<string, Signed>;
  /** Messages that retention took from the log before they were read here. */
  readonly missed: number;
  /** The most that leases told as durable, by stream, before anything else was looked at. */
  readonly told: ReadonlyMap<string, number>;
  /** Epoch microseconds before which results are settled: only their number is still looked at. */
  readonly settledUs: number;
  /** What faults destroyed by their nature: may be lost where the system says so. */
  readonly destroyed: ReadonlySet<string>;
  /** Of these, what a probe can see is gone. */
  readonly toBeTold: ReadonlySet<string>;
  /** What honest probes may be refused because of faults whose round is not settled. */
  readonly mayReject: readonly MayReject[];
  /** What honest probes were refused since the last check that found nothing, and in all. */
  readonly refused: Refusals;
  /** The database was put back to an earlier state since the last check. */
  readonly databaseWentBack: boolean;
  /** Epoch ms before which everything acknowledged must be accounted for by now. */
  readonly untilMs: number;
  /** So long is waited for what is not stored yet. */
  readonly patienceMs: number;
}

export interface MayReject {
  /** As the process is called; null for all of them. */
  readonly probe: string | null;
  readonly reason: string;
}

export interface Refusals {
  readonly fresh: readonly Refusal[];
  readonly all: readonly Refusal[];
}

export interface Refusal {
  /** As its process is called. */
  readonly probe: string;
  readonly reason: string;
  readonly count: number;
}

export interface Violation {
  readonly invariant: string;
  /** One line, then what shows it. */
  readonly what: string;
  readonly evidence: readonly string[];
}

export interface Finding {
  readonly violations: readonly Violation[];
  readonly counts: Readonly<Record<string, number>>;
}

/** Looks at the evidence from outside the product; throws only where it cannot look. */
export type Invariant = (evidence: Evidence) => Promise<Finding>;

export const nothingFound: Finding = { violations: [], counts: {} };

export function violated(invariant: string, what: string, evidence: readonly string[]): Violation {
  const shown = evidence.slice(0, 12);
  const more = evidence.length - shown.length;
  return { invariant, what, evidence: more > 0 ? [...shown, `and ${more} more`] : shown };
}
