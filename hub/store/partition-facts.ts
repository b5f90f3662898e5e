import type { Sql } from './database.ts';
import { type Partition, partitionFromName } from './partition-plan.ts';

export interface PartitionFacts extends Partition {
  readonly bytes: number;
  readonly rows: number;
}

/** The partitions of `results` in order, with what PostgreSQL believes of their size. */
export async function listPartitionFacts(sql: Sql): Promise<PartitionFacts[]> {
  const rows = await sql.many<{ name: string; bytes: number; rows: number }>(
    `select c.relname as name, pg_total_relation_size(c.oid) as bytes, greatest(s.n_live_tup, 0) as rows
     from pg_inherits i join pg_class c on c.oid = i.inhrelid
     left join pg_stat_user_tables s on s.relid = c.oid
     where i.inhparent = 'results'::regclass order by 1`,
  );
  return rows.flatMap(({ name, bytes, rows }) => {
    const partition = partitionFromName(name);
    return partition ? [{ ...partition, bytes, rows }] : [];
  });
}
