import { few, listed } from './figures.ts';
import { type View, type ViewState, viewStates } from './view.ts';

/** An endpoint as the pages know it. */
export interface PageEndpoint {
  readonly id: number;
  readonly name: string;
  readonly url: string;
  /** The tag `team`; empty where it has none. */
  readonly team: string;
  /** `key:value` each. */
  readonly tags: readonly string[];
  readonly intervalMs: number;
  readonly enabled: boolean;
  /** Names; null for all. */
  readonly regions: ReadonlySet<string> | null;
}

export interface PageRegion {
  readonly id: number;
  readonly name: string;
}

/** What all that look at everything want of an endpoint: of 100,000 of them no words are made but for the page's. */
export interface Glance {
  readonly endpoint: PageEndpoint;
  /** Of its views, one a region, in the order of regions. */
  readonly states: readonly ViewState[];
  /** The worst of its views; unknown only where nobody sees it. No verdict: nobody has judged. */
  readonly state: ViewState;
  /** How many views are of `state`, how many see it, and from how many it is checked. */
  readonly count: number;
  readonly seen: number;
  readonly checked: number;
  /** All that see it agree. */
  readonly agreed: boolean;
  /** The newest of its results, epoch seconds. */
  readonly at: number | null;
}

/** One line of the matrix. */
export interface Row extends Glance {
  /** One a region, in the order of regions. */
  readonly views: readonly View[];
  readonly word: string;
  /** What is wrong, as a sentence a failure; empty for a quiet row. */
  readonly why: readonly { readonly text: string; readonly code: string | null }[];
}

export function glanceOf(endpoint: PageEndpoint, states: readonly ViewState[], at: number | null): Glance {
  const of: Record<ViewState, number> = { down: 0, degraded: 0, unknown: 0, up: 0, off: 0 };
  for (const state of states) of[state] += 1;
  const checked = states.length - of.off;
  const seen = checked - of.unknown;
  const state =
    viewStates.find((each) => (each === 'unknown' ? seen === 0 && checked > 0 : of[each] > 0)) ?? 'off';
  const count = of[state];
  const agreed = count === (state === 'unknown' ? checked : seen);
  return { endpoint, states, state, count, seen, checked, agreed, at };
}

export function rowOf(endpoint: PageEndpoint, views: readonly View[], regions: readonly PageRegion[]): Row {
  const at = views.reduce<number | null>(
    (newest, view) => (view.at === null ? newest : Math.max(newest ?? 0, view.at)),
    null,
  );
  const states = views.map(({ state }) => state);
  const glance = glanceOf(endpoint, states, at);
  const { state, count, seen, checked } = glance;
  return {
    ...glance,
    views,
    word: wordOf(state, count, checked),
    why: whyOf(state, views, regions, seen),
  };
}

/** `down` where all say so, `down from 2 of 6` where not: what was not seen counts for nobody. */
function wordOf(state: ViewState, count: number, checked: number): string {
  if (state === 'off') return 'not checked';
  if (state === 'unknown') return 'no view';
  return count === checked ? state : `${state} from ${count} of ${checked}`;
}

function whyOf(
  state: ViewState,
  views: readonly View[],
  regions: readonly PageRegion[],
  seen: number,
): Row['why'] {
  if (state === 'off' || state === 'up') return [];
  const causes = new Map<string, { says: string; code: string | null; from: string[] }>();
  for (const [index, view] of views.entries()) {
    if (view.state === 'up' || view.state === 'off' || (view.state === 'unknown' && state !== 'unknown'))
      continue;
    const cause = causes.get(view.says) ?? { says: view.says, code: view.code, from: [] };
    cause.from.push(regions[index]?.name ?? '');
    causes.set(view.says, cause);
  }
  const sorted = [...causes.values()].sort((a, b) => b.from.length - a.from.length);
  const all = sorted.length === 1 && (state === 'unknown' || sorted[0]?.from.length === seen);
  const sentences = sorted.slice(0, 2).map(({ says, code, from }) => ({
    text: all ? `${says[0]?.toUpperCase() ?? ''}${says.slice(1)}` : `${listed(from)}: ${says}`,
    code,
  }));
  const rest = sorted.length - sentences.length;
  return rest > 0 ? [...sentences, { text: few(rest, 'other cause'), code: null }] : sentences;
}
