import type { Board, PageProbe } from './board.ts';
import { isSeen } from './health.tsx';
import { SparkLine, Views } from './marks.tsx';
import { Cell, Verdict } from './matrix.tsx';
import { mostShown, ProbeRow } from './probes-page.tsx';
import type { PageEndpoint, PageRegion } from './row.ts';
import { rowFor } from './scope.ts';
import { Sky } from './sky.tsx';
import { emptySpark, sparkPaths } from './spark.ts';
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

export function skyUpdate(
  board: Board,
  endpoints: readonly PageEndpoint[],
  regions: readonly PageRegion[],
  asOf: number,
): string {
  const rows = endpoints.map((endpoint) => rowFor(board, endpoint, regions, asOf));
  return String(<Sky rows={rows} regions={regions} />);
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
