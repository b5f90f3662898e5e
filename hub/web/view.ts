import { outcomes } from '../../shared/failure.ts';
import type { LatestResultRow } from '../store/list-latest-results.ts';
import { wordsOf } from './failure-words.ts';
import { bareMs, withUnit } from './figures.ts';

/** Where a mark stands: above the line, across it, below it, a ring on it, a dot. */
export const viewStates = ['down', 'degraded', 'unknown', 'up', 'off'] as const;
export type ViewState = (typeof viewStates)[number];

/** One endpoint seen from one region: what its cell shows. */
export interface View {
  readonly state: ViewState;
  /** The figure where up, a word where not. */
  readonly text: string;
  /** A sentence's end, such as "the connection is refused"; empty where there is nothing to say. */
  readonly says: string;
  readonly code: string | null;
  /** What the probe says of the failure; from strangers. */
  readonly message: string | null;
  readonly suspect: boolean;
  /** When its newest result was due, epoch seconds; null where nothing ever came. */
  readonly at: number | null;
}

export type LatestResult = Omit<LatestResultRow, 'endpointId' | 'regionId'>;

const off: View = { state: 'off', text: '', says: '', code: null, message: null, suspect: false, at: null };
const never: View = { ...off, state: 'unknown', text: 'no view', says: 'nothing was seen yet' };

/** Nothing for three intervals, at least 30 s, is not seen (DESIGN, Judgement). Milliseconds in, seconds out. */
export function freshFor(intervalMs: number): number {
  return Math.max(30, (3 * intervalMs) / 1000);
}

/** The view's state alone: of a million pairs it is all that is wanted of most. */
export function stateOf(
  checked: boolean,
  latest: LatestResult | undefined,
  intervalMs: number,
  asOf: number,
): ViewState {
  if (!checked) return 'off';
  if (!latest || asOf - latest.at > freshFor(intervalMs)) return 'unknown';
  const outcome = outcomes[latest.outcome] ?? 'skipped';
  return outcome === 'skipped' ? 'unknown' : outcome;
}

/** `asOf` in epoch seconds: the present, or, where the hub itself is behind, how far it has come. */
export function viewOf(
  checked: boolean,
  latest: LatestResult | undefined,
  intervalMs: number,
  asOf: number,
): View {
  if (!checked) return off;
  if (!latest) return never;
  const { at, suspect, code, status, message } = latest;
  const known = { code, message, suspect, at };
  const outcome = outcomes[latest.outcome] ?? 'skipped';
  const state = stateOf(checked, latest, intervalMs, asOf);
  const words = code === null ? null : wordsOf(code, status);
  if (asOf - at > freshFor(intervalMs)) {
    return {
      state,
      text: 'no view',
      says: `nothing since: last ${outcome}`,
      ...known,
      code: null,
    };
  }
  if (outcome === 'up') return { state, text: bareMs(latest.totalUs), says: '', ...known };
  if (outcome === 'skipped') {
    return {
      state,
      text: words?.word ?? 'skipped',
      says: words?.says ?? 'skipped',
      ...known,
    };
  }
  const slow = {
    word: withUnit(latest.totalUs),
    says: outcome === 'down' ? 'it fails' : 'it is slower than expected',
  };
  const { word, says } = words ?? slow;
  return { state, text: word, says, ...known };
}
