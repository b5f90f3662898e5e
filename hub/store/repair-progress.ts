import type { Sql } from './database.ts';
import { insertAudit } from './insert-audit.ts';
import { type KnownProgress, listProgress } from './seat-progress.ts';

export interface ProgressRepair {
  readonly topic: string;
  /** What stood there when it was decided. */
  readonly before: readonly KnownProgress[];
  readonly set: readonly KnownProgress[];
  readonly forget: readonly Pick<KnownProgress, 'clusterId' | 'partition'>[];
}

/**
 * Sets a topic's progress, and writes that down, in the caller's transaction. False, and nothing is done, where it is
 * no longer what the repair was decided on: somebody reads.
 */
export async function repairProgress(sql: Sql, repair: ProgressRepair): Promise<boolean> {
  const { topic, before, set, forget } = repair;
  // Whoever stores waits for it, and then finds that the partition does not stand where it was expected.
  await sql.run('lock table kafka_progress in share row exclusive mode');
  const now = await listProgress(sql, topic);
  if (JSON.stringify(now) !== JSON.stringify(before)) return false;
  for (const { clusterId, partition } of forget) {
    await sql.run(
      'delete from kafka_progress where cluster_id = $1::text and topic = $2::text and kafka_partition = $3::int4',
      [clusterId, topic, partition],
    );
  }
  for (const { clusterId, partition, nextOffset, topicId } of set) {
    await sql.run(
      `insert into kafka_progress (cluster_id, topic, kafka_partition, next_offset, topic_id)
       values ($1::text, $2::text, $3::int4, $4::int8, $5::text)
       on conflict (cluster_id, topic, kafka_partition)
       do update set next_offset = excluded.next_offset, topic_id = excluded.topic_id, changed_at = now()`,
      [clusterId, topic, partition, nextOffset, topicId],
    );
  }
  const after = await listProgress(sql, topic);
  await insertAudit(sql, {
    actor: 'command line',
    action: 'kafka.repair',
    subject: `topic:${topic}`,
    before: before.map(briefly),
    after: after.map(briefly),
  });
  return true;
}

const briefly = ({ clusterId, partition, nextOffset }: KnownProgress) => ({
  clusterId,
  partition,
  nextOffset,
});
