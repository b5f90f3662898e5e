import { int4Array, textArray } from './binary-array.ts';
import type { Sql } from './database.ts';

/** One partition of one topic of one cluster. */
export interface LogPartition {
  readonly clusterId: string;
  readonly topic: string;
  readonly partition: number;
}

export interface Progress extends LogPartition {
  /** The first offset that is not consumed yet. */
  readonly nextOffset: number;
}

/** Locks the partitions' progress in one order; a partition that nobody seated yet is not in the answer. */
export async function lockProgress(sql: Sql, partitions: readonly LogPartition[]): Promise<Progress[]> {
  return sql.many<Progress>(
    `select p.cluster_id as "clusterId", p.topic, p.kafka_partition as partition, p.next_offset as "nextOffset"
     from kafka_progress p
     where (p.cluster_id, p.topic, p.kafka_partition) in (
       select * from unnest($1::text[], $2::text[], $3::int4[]))
     order by 1, 2, 3 for update`,
    [
      textArray(partitions.map((at) => at.clusterId)),
      textArray(partitions.map((at) => at.topic)),
      int4Array(partitions.map((at) => at.partition)),
    ],
  );
}
