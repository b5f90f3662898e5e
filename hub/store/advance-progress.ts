import { int4Array, int8Array, textArray } from './binary-array.ts';
import type { Sql } from './database.ts';
import type { LogPartition } from './lock-progress.ts';

export interface ProgressStep extends LogPartition {
  readonly expected: number;
  readonly next: number;
}

/** Throws unless every partition stood where it was expected: then the transaction must not commit. */
export async function advanceProgress(sql: Sql, steps: readonly ProgressStep[]): Promise<void> {
  if (steps.length === 0) return;
  const moved = await sql.run(
    `update kafka_progress p set next_offset = s.next, changed_at = now()
     from unnest($1::text[], $2::text[], $3::int4[], $4::int8[], $5::int8[])
       as s (cluster_id, topic, kafka_partition, expected, next)
     where p.cluster_id = s.cluster_id and p.topic = s.topic and p.kafka_partition = s.kafka_partition
       and p.next_offset = s.expected`,
    [
      textArray(steps.map((step) => step.clusterId)),
      textArray(steps.map((step) => step.topic)),
      int4Array(steps.map((step) => step.partition)),
      int8Array(steps.map((step) => step.expected)),
      int8Array(steps.map((step) => step.next)),
    ],
  );
  if (moved !== steps.length) {
    throw new Error(`kafka_progress moved under us: ${steps.length - moved} of ${steps.length} partitions`);
  }
}
