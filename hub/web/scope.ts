import type { Operator } from '../api/operator.ts';
import type { Board } from './board.ts';
import { type Glance, glanceOf, type PageEndpoint, type PageRegion, type Row, rowOf } from './row.ts';
import { stateOf, type View, viewOf } from './view.ts';

/** The regions an operator may see, in their order. */
export function regionsFor(board: Board, operator: Pick<Operator, 'regions'>): readonly PageRegion[] {
  const { regions } = operator;
  return regions ? board.regions().filter(({ name }) => regions.includes(name)) : board.regions();
}

/** What is seen of an endpoint from these regions. */
export function rowFor(
  board: Board,
  endpoint: PageEndpoint,
  regions: readonly PageRegion[],
  asOf: number,
): Row {
  return rowOf(endpoint, viewsFor(board, endpoint, regions, asOf), regions);
}

/** The same without words: a tenth of the work. */
export function glanceFor(
  board: Board,
  endpoint: PageEndpoint,
  regions: readonly PageRegion[],
  asOf: number,
): Glance {
  const latest = board.latestOf(endpoint.id);
  let newest: number | null = null;
  const states = regions.map(({ id, name }) => {
    const one = latest?.get(id);
    const checked = isChecked(endpoint, name);
    if (checked && one && one.at > (newest ?? 0)) newest = one.at;
    return stateOf(checked, one, endpoint.intervalMs, asOf);
  });
  return glanceOf(endpoint, states, newest);
}

export function viewsFor(
  board: Board,
  endpoint: PageEndpoint,
  regions: readonly PageRegion[],
  asOf: number,
): readonly View[] {
  return regions.map(({ id, name }) =>
    viewOf(isChecked(endpoint, name), board.latest(endpoint.id, id), endpoint.intervalMs, asOf),
  );
}

function isChecked({ enabled, regions }: PageEndpoint, region: string): boolean {
  return enabled && (regions === null || regions.has(region));
}

/** Endpoints that are checked from one of the regions an operator may see; all of them where it may see all. */
export function endpointsFor(
  board: Board,
  operator: Pick<Operator, 'regions'>,
  regions: readonly PageRegion[],
): readonly PageEndpoint[] {
  return operator.regions
    ? board.endpoints().filter((endpoint) => isCheckedFrom(endpoint, regions))
    : board.endpoints();
}

export function isCheckedFrom(endpoint: PageEndpoint, regions: readonly PageRegion[]): boolean {
  return endpoint.regions === null || regions.some(({ name }) => endpoint.regions?.has(name));
}
