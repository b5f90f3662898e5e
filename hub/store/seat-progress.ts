import type { Sql } from './database.ts';
import type { Progress } from './lock-progress.ts';

/** All clusters' progress on one topic. */
export async function listProgress(sql: Sql, topic: string): Promise<Progress[]> {
  return sql.many<Progress>(
    `select cluster_id as "clusterId", topic, kafka_partition as partition, next_offset as "nextOffset"
     from kafka_progress where topic = $1::text order by 1, 3`,
    [topic],
  );
}

/** A partition nobody has read yet. Somebody may have been quicker: then theirs stands. */
export async function insertProgress(sql: Sql, at: Progress): Promise<void> {
  await sql.run(
    `insert into kafka_progress (cluster_id, topic, kafka_partition, next_offset)
     values ($1::text, $2::text, $3::int4, $4::int8) on conflict do nothing`,
    [at.clusterId, at.topic, at.partition, at.nextOffset],
  );
}
