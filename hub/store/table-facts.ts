import type { Sql } from './database.ts';

export interface TableFacts {
  readonly name: string;
  readonly bytes: number;
  readonly indexBytes: number;
  readonly live: number;
  readonly dead: number;
  /** Share of updates that touched no index, 0 to 1; null where none came. */
  readonly hotShare: number | null;
  readonly vacuumedAt: Date | null;
}

/** The tables that are no partition of `results`, the largest first: what autovacuum has to keep up with. */
export function listTableFacts(sql: Sql): Promise<TableFacts[]> {
  return sql.many<TableFacts>(
    `select s.relname as name, pg_total_relation_size(s.relid) as bytes, pg_indexes_size(s.relid) as "indexBytes",
       s.n_live_tup as live, s.n_dead_tup as dead,
       case when s.n_tup_upd > 0 then s.n_tup_hot_upd::float8 / s.n_tup_upd end as "hotShare",
       greatest(s.last_autovacuum, s.last_vacuum) as "vacuumedAt"
     from pg_stat_user_tables s
     where s.schemaname = current_schema() and not exists (select from pg_inherits where inhrelid = s.relid)
     order by 2 desc`,
  );
}
