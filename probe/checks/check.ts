import type { Assignment } from '../../shared/assignment.ts';
import type { FailureCode } from '../../shared/failure.ts';
import type { Observation } from '../../shared/result.ts';

/** A check is a function: it never throws for what a target does, only for bugs. `signal` bounds it whole. */
export type Check<Deps> = (assignment: Assignment, deps: Deps, signal: AbortSignal) => Promise<Observation>;

/** Evidence of a target that is down, unless its failure has this code: of that there is some already. */
export interface EvidenceWish {
  readonly unless: FailureCode | null;
}

/** All protocols behind one call. */
export interface Checker {
  /** One attempt, within the assignment's timeout. `signal` ends it early: then `probe.internal`, never a target's failure. */
  check(assignment: Assignment, signal: AbortSignal, wish?: EvidenceWish | null): Promise<Observation>;
  /** Ends its workers and sockets. */
  close(): Promise<void>;
}
