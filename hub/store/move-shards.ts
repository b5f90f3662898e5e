import type { ShardPlan } from '../trust/shard-plan.ts';
import type { ShardOwner } from '../trust/shard-seats.ts';
import { int2Array, int8Array } from './binary-array.ts';
import type { Sql } from './database.ts';

/** Writes a plan for one region; all of it or, where a row is not as the plan saw it, an error. */
export async function moveShards(sql: Sql, regionId: number, plan: ShardPlan): Promise<void> {
  const cancelled = await sql.run(
    `delete from shard_owners o using unnest($2::int2[], $3::int2[], $4::int8[]) as c (shard, rank, from_us)
     where o.region_id = $1::int2 and o.shard = c.shard and o.rank = c.rank and o.from_us = c.from_us`,
    [regionId, ...keysOf(plan.cancel)],
  );
  const changed = await sql.run(
    `update shard_owners o set until_us = c.until_us
     from unnest($2::int2[], $3::int2[], $4::int8[], $5::int8[]) as c (shard, rank, from_us, until_us)
     where o.region_id = $1::int2 and o.shard = c.shard and o.rank = c.rank and o.from_us = c.from_us`,
    [regionId, ...keysOf(plan.change), int8Array(plan.change.map((row) => row.untilUs))],
  );
  if (cancelled !== plan.cancel.length || changed !== plan.change.length) {
    throw new Error(`shard_owners of region ${regionId} changed under the plan`);
  }
  await sql.run(
    `insert into shard_owners (region_id, shard, rank, from_us, probe_id)
     select $1::int2, b.shard, b.rank, b.from_us, b.probe_id
     from unnest($2::int2[], $3::int2[], $4::int8[], $5::int8[]) as b (shard, rank, from_us, probe_id)`,
    [regionId, ...keysOf(plan.begin), int8Array(plan.begin.map((row) => row.probeId))],
  );
}

function keysOf(rows: readonly ShardOwner[]): [Buffer, Buffer, Buffer] {
  return [
    int2Array(rows.map((row) => row.shard)),
    int2Array(rows.map((row) => row.rank)),
    int8Array(rows.map((row) => row.fromUs)),
  ];
}

/** What ended before this instant: nobody asks for it any more. */
export async function deleteEndedShards(sql: Sql, beforeUs: number): Promise<number> {
  return sql.run('delete from shard_owners where until_us < $1::int8', [beforeUs]);
}
