import type { Database, Sql } from './database.ts';
import { hoursOf, type Partition, partitionFromName } from './partition-plan.ts';
import { moveSeal } from './seal.ts';

/** Any number nobody else uses. */
const keeperLock = 7_125_306_403;

/**
 * Runs `work` in a transaction, one keeper at a time over all replicas. To drop takes a lock that waits behind readers,
 * and writers queue behind it: `lockMs` is how long they may.
 */
export async function asKeeper<T>(
  db: Database,
  work: (sql: Sql) => Promise<T>,
  { lockMs = 3000 } = {},
): Promise<T> {
  return db.transaction(async (sql) => {
    await sql.run("set local lock_timeout = '30s'");
    await sql.run('select pg_advisory_xact_lock($1::bigint)', [keeperLock]);
    await sql.run(`set local lock_timeout = '${lockMs}ms'`);
    return work(sql);
  });
}

/** The database's clock, epoch microseconds. */
export async function databaseClock(sql: Sql): Promise<number> {
  const { us } = await sql.one<{ us: number }>(
    'select (extract(epoch from clock_timestamp()) * 1000000)::int8 as us',
  );
  return us;
}

export async function listPartitions(sql: Sql): Promise<Partition[]> {
  const rows = await sql.many<{ name: string }>(
    `select c.relname as name from pg_inherits i join pg_class c on c.oid = i.inhrelid
     where i.inhparent = 'results'::regclass order by 1`,
  );
  return rows.map((row) => partitionFromName(row.name)).filter((partition) => partition !== null);
}

/**
 * Attached, not created in place: `create table ... partition of` locks out every writer, `attach` does not.
 * Rows are only ever inserted, so full pages and a vacuum that only freezes.
 */
export async function createPartition(sql: Sql, { name, fromUs, toUs }: Partition): Promise<void> {
  const table = quoted(name);
  const [from, to] = [fromUs, toUs].map((us) => `'${new Date(us / 1000).toISOString()}'`);
  await sql.run(`create table ${table} (like results including defaults including constraints)
    with (fillfactor = 100, autovacuum_vacuum_insert_scale_factor = 0.5, autovacuum_analyze_scale_factor = 0.2)`);
  await sql.run(`alter table results attach partition ${table} for values from (${from}) to (${to})`);
}

/** With it its rows go: what retention says. From then on what was due in it, or before, is refused. */
export async function dropPartition(sql: Sql, { name, toUs }: Partition): Promise<void> {
  await moveSeal(sql, toUs);
  await sql.run(`drop table if exists ${quoted(name)}`);
}

/** True where it was empty, and is its hours now. Nobody writes to it meanwhile. */
export async function splitPartition(sql: Sql, partition: Partition): Promise<boolean> {
  const table = quoted(partition.name);
  await sql.run(`lock table ${table} in share row exclusive mode`);
  const { used } = await sql.one<{ used: boolean }>(`select exists (select from ${table}) as used`);
  if (used) return false;
  await sql.run(`drop table ${table}`);
  for (const hour of hoursOf(partition)) await createPartition(sql, hour);
  return true;
}

function quoted(name: string): string {
  if (!partitionFromName(name)) throw new Error(`not a partition's name: ${name}`);
  return `"${name}"`;
}
