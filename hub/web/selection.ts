import type { Glance } from './row.ts';
import { type ViewState, viewStates } from './view.ts';

/** What of the matrix somebody looks at: all of it stands in the address. */
export interface Selection {
  /** Words that a row must all hold. */
  readonly find: string;
  readonly state: ViewState | null;
  /** From 1. */
  readonly page: number;
}

export const rowsPerPage = 100;

export function selectionOf(query: URLSearchParams): Selection {
  const state = viewStates.find((each) => each === query.get('state')) ?? null;
  const page = Number(query.get('page') ?? 1);
  return {
    find: (query.get('find') ?? '').trim().slice(0, 200),
    state,
    page: Number.isSafeInteger(page) && page > 0 ? page : 1,
  };
}

/** The address of a selection; what is as usual is left out. */
export function hrefOf({ find, state, page }: Selection): string {
  const query = new URLSearchParams({
    ...(find && { find }),
    ...(state && { state }),
    ...(page > 1 && { page: String(page) }),
  }).toString();
  return query ? `/?${query}` : '/';
}

export interface Selected<Shown extends Glance = Glance> {
  /** Found by words, whatever their state: what the tabs count. */
  readonly counts: Readonly<Record<ViewState, number>>;
  readonly found: number;
  readonly groups: readonly Group<Shown>[];
  /** Rows that match words and state. */
  readonly matching: number;
  readonly page: number;
  readonly pages: number;
}

export interface Group<Shown extends Glance = Glance> {
  /** The team; empty for endpoints without one. */
  readonly team: string;
  readonly counts: Readonly<Record<ViewState, number>>;
  /** Those on this page; a group may go on over the next. */
  readonly rows: readonly Shown[];
}

/** Worst first within each team; teams, and rows of one state, stay in the order they come in. */
export function inMatrixOrder(rows: readonly Glance[]): readonly Glance[] {
  const teams = Map.groupBy(rows, ({ endpoint }) => endpoint.team);
  return [...teams.values()].flatMap(worstFirst);
}

/**
 * What of the rows, given in the order of the matrix, stands on the page somebody looks at. `codesOf` gives the codes
 * of a row's failures, where words are looked for.
 */
export function select(
  rows: readonly Glance[],
  selection: Selection,
  codesOf: (row: Glance) => readonly string[],
): Selected {
  const words = selection.find.toLowerCase().split(/\s+/).filter(Boolean);
  const found = words.length === 0 ? rows : rows.filter((row) => holds(row, codesOf(row), words));
  const matching = selection.state ? found.filter(({ state }) => state === selection.state) : found;
  const pages = Math.max(1, Math.ceil(matching.length / rowsPerPage));
  const page = Math.min(selection.page, pages);
  const shown = matching.slice((page - 1) * rowsPerPage, page * rowsPerPage);
  const whole = Map.groupBy(matching, ({ endpoint }) => endpoint.team);
  const groups = [...Map.groupBy(shown, ({ endpoint }) => endpoint.team)].map(
    ([team, those]): Group => ({
      team,
      counts: countStates(whole.get(team) ?? []),
      rows: those,
    }),
  );
  return { counts: countStates(found), found: found.length, groups, matching: matching.length, page, pages };
}

function worstFirst(rows: readonly Glance[]): readonly Glance[] {
  const byState = Map.groupBy(rows, ({ state }) => state);
  return viewStates.flatMap((state) => byState.get(state) ?? []);
}

/** The same selection with what is shown of it made whole. */
export function showing<Shown extends Glance>(
  { groups, ...selected }: Selected,
  show: (glance: Glance) => Shown,
): Selected<Shown> {
  return { ...selected, groups: groups.map((group) => ({ ...group, rows: group.rows.map(show) })) };
}

export function countStates(rows: readonly Pick<Glance, 'state'>[]): Record<ViewState, number> {
  const counts: Record<ViewState, number> = { down: 0, degraded: 0, unknown: 0, up: 0, off: 0 };
  for (const { state } of rows) counts[state] += 1;
  return counts;
}

function holds({ endpoint, state }: Glance, codes: readonly string[], words: readonly string[]): boolean {
  const text = [endpoint.name, endpoint.url, ...endpoint.tags, state, ...codes].join('\n').toLowerCase();
  return words.every((word) => text.includes(word));
}
