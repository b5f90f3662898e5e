import type { ShardOwner } from '../trust/shard-seats.ts';
import type { Sql } from './database.ts';

export interface OwnerRow extends ShardOwner {
  readonly regionId: number;
}

/** Who checks what: of one region, or of all. What has ended stays in the answer until it is deleted. */
export async function listShardOwners(sql: Sql, regionId: number | null = null): Promise<OwnerRow[]> {
  return sql.many<OwnerRow>(
    `select region_id as "regionId", shard, rank, probe_id as "probeId", from_us as "fromUs", until_us as "untilUs"
     from shard_owners where $1::int2 is null or region_id = $1::int2
     order by region_id, shard, rank, from_us`,
    [regionId],
  );
}
