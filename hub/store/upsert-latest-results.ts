import { boolArray, int2Array, int4Array, int8Array, textArray, timestamptzArray } from './binary-array.ts';
import type { Sql } from './database.ts';
import { clampInt4, outcomeNumber, type ResultRow } from './insert-results.ts';

const columns = `
  endpoint_id, region_id, scheduled_at, probe_id, rev, outcome, suspect, status, total_us, failure_code,
  failure_message`;

const offered = `unnest(
  $1::int8[], $2::int2[], $3::timestamptz[], $4::int8[], $5::int4[], $6::int2[], $7::bool[], $8::int2[],
  $9::int4[], $10::text[], $11::text[]) as o (${columns})`;

/**
 * Nearly always all are there and older. An insert with on conflict would lock each row, and log that, before it is
 * updated: 55 bytes of WAL a row (measured).
 */
const update = `
update latest_results l set
  scheduled_at = o.scheduled_at, probe_id = o.probe_id, rev = o.rev, outcome = o.outcome, suspect = o.suspect,
  status = o.status, total_us = o.total_us, failure_code = o.failure_code, failure_message = o.failure_message
from ${offered}
where l.endpoint_id = o.endpoint_id and l.region_id = o.region_id and o.scheduled_at > l.scheduled_at`;

const insert = `
insert into latest_results as l (${columns})
select * from ${offered}
where not exists (
  select from latest_results k where k.endpoint_id = o.endpoint_id and k.region_id = o.region_id)
on conflict (endpoint_id, region_id) do update set
  scheduled_at = excluded.scheduled_at, probe_id = excluded.probe_id, rev = excluded.rev,
  outcome = excluded.outcome, suspect = excluded.suspect, status = excluded.status, total_us = excluded.total_us,
  failure_code = excluded.failure_code, failure_message = excluded.failure_message
where excluded.scheduled_at > l.scheduled_at`;

/** One index look a row in the order given: the planner could think of reading the whole table instead. */
const inOrder = `
select set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true),
  set_config('enable_seqscan', 'off', true)`;

/** Rows as newestOfEach makes them: one a pair, in lock order. Within a transaction. Returns how many were newer. */
export async function upsertLatestResults(sql: Sql, rows: readonly ResultRow[]): Promise<number> {
  const results = rows.map(({ result }) => result);
  const values = [
    int8Array(results.map((r) => r.endpointId)),
    int2Array(rows.map((row) => row.regionId)),
    timestamptzArray(results.map((r) => r.scheduledAt)),
    int8Array(results.map((r) => r.probeId)),
    int4Array(results.map((r) => r.rev)),
    int2Array(results.map((r) => outcomeNumber[r.outcome])),
    boolArray(results.map((r) => r.suspect)),
    int2Array(results.map((r) => r.status)),
    int4Array(results.map((r) => clampInt4(r.timings.total))),
    textArray(results.map((r) => r.failure?.code ?? null)),
    textArray(results.map((r) => r.failure?.message ?? null)),
  ];
  await sql.run(inOrder);
  const updated = await sql.run(update, values);
  return updated === rows.length ? updated : updated + (await sql.run(insert, values));
}

/** The newest of each pair, by endpoint and region: the one order in which rows are locked, so that no two consumers deadlock. */
export function newestOfEach(rows: readonly ResultRow[]): ResultRow[] {
  const newest = new Map<number, ResultRow>();
  for (const row of rows) {
    // Region ids are smallint: 2^15 of them beside 2^38 endpoints stay below 2^53.
    const pair = row.result.endpointId * 32_768 + row.regionId;
    const known = newest.get(pair);
    if (!known || known.result.scheduledAt < row.result.scheduledAt) newest.set(pair, row);
  }
  return [...newest.values()].sort(
    (a, b) => a.result.endpointId - b.result.endpointId || a.regionId - b.regionId,
  );
}
