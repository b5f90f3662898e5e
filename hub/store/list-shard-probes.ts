import type { ShardProbe } from '../trust/shard-plan.ts';
import type { Sql } from './database.ts';

export interface ShardProbeRow extends ShardProbe {
  readonly regionId: number;
}

/** The active probes that have ever asked for a lease, of all regions. */
export async function listShardProbes(sql: Sql): Promise<ShardProbeRow[]> {
  return sql.many<ShardProbeRow>(
    `select p.id, p.region_id as "regionId", s.capacity,
            (extract(epoch from s.seen_at) * 1000000)::int8 as "seenUs"
     from probes p join probe_presence s on s.probe_id = p.id
     where p.status = 'active' order by p.id`,
  );
}

/** Probes seen since then: what decides how long results may wait for company. */
export async function countSeenProbes(sql: Sql, sinceUs: number): Promise<number> {
  const { count } = await sql.one<{ count: number }>(
    'select count(*)::int4 as count from probe_presence where seen_at > $1::timestamptz',
    [new Date(sinceUs / 1000)],
  );
  return count;
}
