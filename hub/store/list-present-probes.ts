import type { Sql } from './database.ts';

/** Active probes of these regions that asked for a lease within the last 20 s, the most recently seen first. */
export async function listPresentProbes(
  sql: Sql,
  regionIds: readonly number[],
): Promise<readonly { readonly id: number; readonly regionId: number }[]> {
  return sql.many(
    `select p.id, p.region_id as "regionId" from probes p join probe_presence s on s.probe_id = p.id
     where p.region_id = any($1::int2[]) and p.status = 'active' and s.seen_at > now() - interval '20 seconds'
     order by s.seen_at desc, p.id`,
    [regionIds],
  );
}
