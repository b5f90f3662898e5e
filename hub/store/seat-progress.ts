import type { Sql } from './database.ts';
import type { Progress } from './lock-progress.ts';

export interface KnownProgress extends Progress {
  /** The id of the topic that was read, 32 hex digits; null where it is not known. */
  readonly topicId: string | null;
}

/** All clusters' progress on one topic. */
export async function listProgress(sql: Sql, topic: string): Promise<KnownProgress[]> {
  return sql.many<KnownProgress>(
    `select cluster_id as "clusterId", topic, kafka_partition as partition, next_offset as "nextOffset",
       topic_id as "topicId"
     from kafka_progress where topic = $1::text order by 1, 3`,
    [topic],
  );
}

/** A partition nobody has read yet. Somebody may have been quicker: then theirs stands. */
export async function insertProgress(sql: Sql, at: KnownProgress): Promise<void> {
  await sql.run(
    `insert into kafka_progress (cluster_id, topic, kafka_partition, next_offset, topic_id)
     values ($1::text, $2::text, $3::int4, $4::int8, $5::text) on conflict do nothing`,
    [at.clusterId, at.topic, at.partition, at.nextOffset, at.topicId],
  );
}

/** Says of which topic the progress is, where that is not known yet. */
export async function nameProgress(sql: Sql, at: Omit<KnownProgress, 'nextOffset'>): Promise<void> {
  await sql.run(
    `update kafka_progress set topic_id = $4::text
     where cluster_id = $1::text and topic = $2::text and kafka_partition = $3::int4 and topic_id is null`,
    [at.clusterId, at.topic, at.partition, at.topicId],
  );
}
