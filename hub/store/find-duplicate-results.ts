import { int2Array, int8Array, timestamptzArray } from './binary-array.ts';
import type { Sql } from './database.ts';
import type { ResultRow } from './insert-results.ts';

/**
 * Which of the rows just offered were there before this transaction, by their place in `rows`. Asked only where
 * insertResults stored fewer than it was given: `returning` on every statement would cost all for the sake of none.
 */
export async function findDuplicateResults(sql: Sql, rows: readonly ResultRow[]): Promise<Set<number>> {
  const found = await sql.many<{ place: number }>(
    `select place::int4 as place
     from unnest($1::int8[], $2::int2[], $3::timestamptz[], $4::int8[]) with ordinality
       as t (endpoint_id, region_id, scheduled_at, probe_id, place)
     join results r using (endpoint_id, region_id, scheduled_at, probe_id)
     where r.xmin <> pg_current_xact_id()::xid`,
    [
      int8Array(rows.map(({ result }) => result.endpointId)),
      int2Array(rows.map((row) => row.regionId)),
      timestamptzArray(rows.map(({ result }) => result.scheduledAt)),
      int8Array(rows.map(({ result }) => result.probeId)),
    ],
  );
  return new Set(found.map((row) => row.place - 1));
}
