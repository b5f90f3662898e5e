import type { Assignment } from '../../shared/assignment.ts';
import type { Observation } from '../../shared/result.ts';

/** A check is a function: it never throws for what a target does, only for bugs. `signal` bounds it whole. */
export type Check<Deps> = (assignment: Assignment, deps: Deps, signal: AbortSignal) => Promise<Observation>;
