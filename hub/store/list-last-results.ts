import type { Result } from '../../shared/result.ts';
import type { Sql } from './database.ts';
import { type ResultRow, resultColumns, resultOf } from './list-results.ts';

const text = `
select ${resultColumns}
from unnest($2::int2[]) as wanted (region_id)
cross join lateral (
  select * from results
  where endpoint_id = $1::int8 and results.region_id = wanted.region_id
  order by scheduled_at desc, probe_id desc
  limit $3::int
) r
order by r.scheduled_at desc, r.region_id, r.probe_id desc`;

/** The newest `each` of every region, the newest of all first: a region that fell silent shows its last ones, too. */
export async function listLastResults(
  sql: Sql,
  endpointId: number,
  regionIds: readonly number[],
  each: number,
): Promise<Result[]> {
  return (await sql.many<ResultRow>(text, [endpointId, regionIds, each])).map(resultOf);
}
