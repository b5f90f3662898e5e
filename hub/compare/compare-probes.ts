import type { FailureCode, Outcome } from '../../shared/failure.ts';
import {
  combined,
  type LogRatio,
  leastForMedian,
  medianRatio,
  quantile,
  type Ratio,
} from './median-ratio.ts';

export const phases = ['dns', 'connect', 'tls', 'wait', 'transfer', 'total'] as const;
export type Phase = (typeof phases)[number];

/** A slot's result as far as two probes are compared by it. Times are microseconds. */
export interface Sample {
  readonly endpointId: number;
  /** Epoch microseconds. */
  readonly scheduledAt: number;
  readonly outcome: Outcome;
  readonly suspect: boolean;
  readonly code: FailureCode | null;
  readonly timings: Readonly<Record<Phase, number | null>>;
}

export interface SideFigures {
  readonly count: number;
  readonly medianUs: number;
  readonly p95Us: number;
}

export interface PhaseComparison {
  readonly phase: Phase;
  readonly a: SideFigures;
  readonly b: SideFigures;
  /** How many times as long b takes; null where there is too little to say. */
  readonly ratio: Ratio | null;
}

export interface Difference {
  readonly endpointId: number;
  readonly scheduledAt: number;
  readonly a: { readonly outcome: Outcome; readonly code: FailureCode | null };
  readonly b: { readonly outcome: Outcome; readonly code: FailureCode | null };
}

export interface SideShares {
  readonly results: number;
  readonly suspect: number;
  /** Of source `probe`: what it could not say anything about. */
  readonly skipped: number;
}

export interface Comparison {
  /** Endpoints that both have measured often enough. */
  readonly endpoints: number;
  readonly phases: readonly PhaseComparison[];
  readonly a: SideShares;
  readonly b: SideShares;
  readonly outcomes: {
    /** Slots that both ran, neither suspect nor skipped. */
    readonly pairs: number;
    readonly onlyAFails: number;
    readonly onlyBFails: number;
    /** The newest of them. */
    readonly examples: readonly Difference[];
  };
  /** Why nothing can be said about their times, for a person; null where it can. */
  readonly tooLittle: string | null;
}

/** Of each side over all endpoints: fewer give an interval that nobody can use. */
const leastInAll = 20;
const mostExamples = 10;

/**
 * Two probes on the same targets: their times endpoint by endpoint, so that who has the slower targets is not the slower
 * probe, and their outcomes slot by slot. Only what is neither suspect nor failed is a time. Pure.
 */
export function compareProbes(
  a: readonly Sample[],
  b: readonly Sample[],
  intervalUsOf: (endpointId: number) => number,
): Comparison {
  const [ofA, ofB] = [timesOf(a), timesOf(b)];
  const enough = (times: ReadonlyMap<number, readonly Sample[]>, id: number) =>
    (times.get(id)?.length ?? 0) >= leastForMedian;
  const shared = [...ofA.keys()].filter((id) => enough(ofA, id) && enough(ofB, id));
  const count = (times: ReadonlyMap<number, readonly Sample[]>) =>
    shared.reduce((sum, id) => sum + (times.get(id)?.length ?? 0), 0);
  return {
    endpoints: shared.length,
    phases: phases.flatMap((phase) => comparePhase(phase, shared, ofA, ofB) ?? []),
    a: sharesOf(a),
    b: sharesOf(b),
    outcomes: compareOutcomes(a, b, intervalUsOf),
    tooLittle: tooLittle(shared.length, Math.min(count(ofA), count(ofB)), a.length, b.length),
  };
}

function tooLittle(endpoints: number, least: number, a: number, b: number): string | null {
  if (a === 0 || b === 0) {
    const who = a === 0 && b === 0 ? 'neither' : a === 0 ? 'only the second' : 'only the first';
    return `${who} of them has results of these endpoints in this time`;
  }
  if (endpoints === 0) return `no endpoint has ${leastForMedian} good results of each that are not suspect`;
  return least < leastInAll ? `only ${least} good results of one of them: ${leastInAll} are needed` : null;
}

function timesOf(samples: readonly Sample[]): ReadonlyMap<number, readonly Sample[]> {
  const good = samples.filter(
    ({ outcome, suspect }) => !suspect && (outcome === 'up' || outcome === 'degraded'),
  );
  return Map.groupBy(good, ({ endpointId }) => endpointId);
}

function comparePhase(
  phase: Phase,
  endpoints: readonly number[],
  ofA: ReadonlyMap<number, readonly Sample[]>,
  ofB: ReadonlyMap<number, readonly Sample[]>,
): PhaseComparison | null {
  const times = (samples: readonly Sample[] = []) =>
    Float64Array.from(samples.flatMap(({ timings }) => timings[phase] ?? [])).sort();
  const each = endpoints.map((id) => ({ a: times(ofA.get(id)), b: times(ofB.get(id)) }));
  const both = each.filter(({ a, b }) => a.length > 0 && b.length > 0);
  if (both.length === 0) return null;
  const ratios = both.map(({ a, b }) => medianRatio(a, b)).filter((one): one is LogRatio => one !== null);
  const measured = Math.min(
    ...(['a', 'b'] as const).map((side) => both.reduce((sum, one) => sum + one[side].length, 0)),
  );
  return {
    phase,
    a: figuresOf(both.map((one) => one.a)),
    b: figuresOf(both.map((one) => one.b)),
    ratio: measured < leastInAll ? null : combined(ratios),
  };
}

function figuresOf(sets: readonly Float64Array[]): SideFigures {
  const all = Float64Array.from(sets.flatMap((set) => [...set])).sort();
  return {
    count: all.length,
    medianUs: Math.round(quantile(all, 0.5)),
    p95Us: Math.round(quantile(all, 0.95)),
  };
}

function sharesOf(samples: readonly Sample[]): SideShares {
  return {
    results: samples.length,
    suspect: samples.filter(({ suspect }) => suspect).length,
    skipped: samples.filter(({ outcome }) => outcome === 'skipped').length,
  };
}

/** Each region has one slot of an endpoint in each of its intervals: the same slot, or the one beside it. */
function compareOutcomes(
  a: readonly Sample[],
  b: readonly Sample[],
  intervalUsOf: (endpointId: number) => number,
): Comparison['outcomes'] {
  const says = ({ outcome, suspect }: Sample) => !suspect && outcome !== 'skipped';
  const slotOf = ({ endpointId, scheduledAt }: Sample) =>
    `${endpointId} ${Math.floor(scheduledAt / intervalUsOf(endpointId))}`;
  const ofB = new Map(b.filter(says).map((sample) => [slotOf(sample), sample]));
  const differences: Difference[] = [];
  let [pairs, onlyAFails, onlyBFails] = [0, 0, 0];
  for (const one of a) {
    const other = says(one) ? ofB.get(slotOf(one)) : undefined;
    if (!other) continue;
    pairs += 1;
    const [aFails, bFails] = [one.outcome === 'down', other.outcome === 'down'];
    if (aFails === bFails) continue;
    if (aFails) onlyAFails += 1;
    else onlyBFails += 1;
    const { endpointId, scheduledAt } = one;
    const side = ({ outcome, code }: Sample) => ({ outcome, code });
    differences.push({ endpointId, scheduledAt, a: side(one), b: side(other) });
  }
  const newest = differences.sort((x, y) => y.scheduledAt - x.scheduledAt);
  return { pairs, onlyAFails, onlyBFails, examples: newest.slice(0, mostExamples) };
}
