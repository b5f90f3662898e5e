import type { Sql } from './database.ts';

export interface DatabaseFacts {
  readonly version: string;
  readonly sizeBytes: number;
  /** Connections of all clients, and most that the server takes. */
  readonly connections: number;
  readonly maxConnections: number;
  /** The age of the oldest open transaction in seconds, and whose it is; null where none is open. */
  readonly oldestTransaction: {
    readonly pid: number;
    readonly name: string;
    readonly seconds: number;
  } | null;
  /** Transactions since the oldest that is not frozen: at 2 billion PostgreSQL stops. */
  readonly unfrozen: number;
  readonly standbys: readonly {
    readonly name: string;
    readonly state: string;
    readonly lagSeconds: number;
  }[];
}

export async function readDatabaseFacts(sql: Sql): Promise<DatabaseFacts> {
  return sql.one<DatabaseFacts>(
    `select current_setting('server_version') as version,
       pg_database_size(current_database()) as "sizeBytes",
       (select count(*) from pg_stat_activity where backend_type = 'client backend')::int4 as connections,
       current_setting('max_connections')::int4 as "maxConnections",
       (select json_build_object('pid', pid, 'name', coalesce(nullif(application_name, ''), 'unnamed'),
          'seconds', date_part('epoch', clock_timestamp() - xact_start))
        from pg_stat_activity
        where xact_start is not null and backend_type = 'client backend' and datname = current_database()
        order by xact_start limit 1) as "oldestTransaction",
       (select age(datfrozenxid) from pg_database where datname = current_database()) as unfrozen,
       coalesce((select json_agg(json_build_object('name', application_name, 'state', state,
          'lagSeconds', coalesce(date_part('epoch', replay_lag), 0))) from pg_stat_replication), '[]') as standbys`,
  );
}

/** Where the server keeps its files, where we may know: it shows that to few. */
export async function readDataDirectory(sql: Sql): Promise<string | null> {
  const row = await sql.one<{ path: string | null }>(
    `select case when pg_has_role(current_user, 'pg_read_all_settings', 'member')
       then current_setting('data_directory') end as path`,
  );
  return row.path;
}
