import type { Sql } from './database.ts';

/** The newest results of one endpoint from one region: [slot, microseconds in all, outcome as in the table]. */
export interface RecentTotalsRow {
  readonly endpointId: number;
  readonly regionId: number;
  readonly totals: readonly (readonly [slot: number, totalUs: number, outcome: number])[];
}

/**
 * What the lines of a page are drawn from: for each endpoint and region the results of its last `slots` intervals, no
 * more than so many rows. One index range a pair; `slot` is the instant divided by the interval, rounded down.
 */
export async function listRecentTotals(
  sql: Sql,
  endpoints: readonly { readonly id: number; readonly intervalMs: number }[],
  regionIds: readonly number[],
  slots: number,
  nowMs: number,
): Promise<RecentTotalsRow[]> {
  return sql.many<RecentTotalsRow>(
    `select e.id as "endpointId", r.id as "regionId", recent.totals
     from unnest($1::int8[], $2::int8[]) as e (id, interval_ms)
     cross join unnest($3::int2[]) as r (id)
     cross join lateral (
       select json_agg(json_build_array(slot, total_us, outcome)) as totals from (
         select floor(date_part('epoch', scheduled_at) * 1000 / e.interval_ms)::int8 as slot, total_us, outcome
         from results
         where endpoint_id = e.id and region_id = r.id
           and scheduled_at > to_timestamp(($4::float8 - e.interval_ms * $5::int4) / 1000)
           and not suspect
         order by scheduled_at desc
         limit $5::int4) newest) recent
     where recent.totals is not null`,
    [endpoints.map(({ id }) => id), endpoints.map(({ intervalMs }) => intervalMs), regionIds, nowMs, slots],
  );
}
