import type { Board, PageProbe } from './board.ts';
import { isSeen } from './health.tsx';
import { SparkLine, Views } from './marks.tsx';
import { Cell, tally, Verdict } from './matrix.tsx';
import { mostShown, ProbeRow } from './probes-page.tsx';
import type { PageEndpoint, PageRegion } from './row.ts';
import { glanceFor, rowFor } from './scope.ts';
import { countStates } from './selection.ts';
import { Sky } from './sky.tsx';
import { emptySpark, sparkPaths } from './spark.ts';
import { Summary, Tabs, titleOf } from './summary.tsx';
import type { ViewState } from './view.ts';

/** What the browser puts in place of what it shows; all markup is the pages' own. */
export interface RowUpdate {
  readonly id: number;
  readonly is: ViewState;
  /** Epoch seconds; null for never. */
  readonly at: number | null;
  readonly cells: readonly (readonly [regionId: number, html: string])[];
  readonly verdict: string;
  readonly views: string;
  readonly spark: string;
}

/** One row as it is now; `changed` names the regions whose cells go with it, null for all. */
export function rowUpdate(
  board: Board,
  endpoint: PageEndpoint,
  regions: readonly PageRegion[],
  changed: ReadonlySet<number> | null,
  now: number,
  asOf: number,
): RowUpdate {
  const row = rowFor(board, endpoint, regions, asOf);
  const seen = new Set(regions.map(({ id }) => id));
  const runningSlot = Math.floor((now * 1000) / endpoint.intervalMs);
  const spark = board.spark(endpoint.id) ?? emptySpark();
  return {
    id: endpoint.id,
    is: row.state,
    at: row.at,
    cells: regions.flatMap(({ id, name }, index) => {
      const view = row.views[index];
      if (!view || (changed && !changed.has(id))) return [];
      return [[id, String(<Cell view={view} region={name} now={now} />)] as const];
    }),
    verdict: String(<Verdict row={row} />),
    views: String(<Views views={row.views} regions={regions} />),
    spark: String(<SparkLine paths={sparkPaths(spark, runningSlot, (id) => seen.has(id))} />),
  };
}

/** What stands over the rows; `tabs` and `teams` are those of the page that shows everything. */
export interface OverviewUpdate {
  readonly title: string;
  readonly summary: string;
  readonly sky: string;
  readonly tabs: string;
  readonly teams: readonly (readonly [team: string, tally: string])[];
}

/** More teams than these are counted anew when the page is. */
const mostTeams = 200;

export function overviewUpdate(
  board: Board,
  endpoints: readonly PageEndpoint[],
  regions: readonly PageRegion[],
  asOf: number,
): OverviewUpdate {
  const rows = endpoints.map((endpoint) => glanceFor(board, endpoint, regions, asOf));
  const counts = countStates(rows);
  const teams = [...Map.groupBy(rows, ({ endpoint }) => endpoint.team)].slice(0, mostTeams);
  const selection = { find: '', state: null, page: 1 };
  return {
    title: titleOf(counts),
    summary: String(<Summary rows={rows} regions={regions} />),
    sky: String(<Sky rows={rows} regions={regions} />),
    tabs: String(<Tabs counts={counts} found={rows.length} selection={selection} />),
    teams: teams.map(([team, those]) => [team, tally(countStates(those))]),
  };
}

/** Remembers what one client was last sent of each probe; ages go on in the browser and are no change. */
export function createProbeUpdates(board: Board, regions: readonly PageRegion[], admin: boolean) {
  const names = new Map(regions.map(({ id, name }) => [id, name]));
  const sent = new Map<number, string>();
  return (now: number): { rows: (readonly [id: number, html: string])[]; all: string[] } | null => {
    const visible = board.probes().filter(({ regionId }) => names.has(regionId));
    const rows = visible.slice(0, mostShown).flatMap((probe) => {
      const fingerprint = JSON.stringify([probe, isSeen(probe, now)]);
      if (sent.get(probe.id) === fingerprint) return [];
      sent.set(probe.id, fingerprint);
      return [[probe.id, probeHtml(probe, names.get(probe.regionId) ?? '', admin, now)] as const];
    });
    return rows.length > 0 ? { rows, all: visible.map(({ id, status }) => `${id}${status[0]}`) } : null;
  };
}

function probeHtml(probe: PageProbe, region: string, admin: boolean, now: number): string {
  return String(<ProbeRow probe={probe} region={region} admin={admin} now={now} />);
}
