import type { Database, Sql } from './database.ts';
import { type Partition, partitionFromName } from './partition-plan.ts';

/** Any number nobody else uses. */
const keeperLock = 7_125_306_403;

/** Runs `work` in a transaction, one keeper at a time over all replicas. */
export async function asKeeper<T>(db: Database, work: (sql: Sql) => Promise<T>): Promise<T> {
  return db.transaction(async (sql) => {
    await sql.run("set local lock_timeout = '30s'");
    await sql.run('select pg_advisory_xact_lock($1::bigint)', [keeperLock]);
    // To attach and to drop takes a lock that waits behind readers: rather later than with writers queued behind it.
    await sql.run("set local lock_timeout = '3s'");
    return work(sql);
  });
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

/** With it its rows go: what retention says. */
export async function dropPartition(sql: Sql, { name }: Partition): Promise<void> {
  await sql.run(`drop table if exists ${quoted(name)}`);
}

function quoted(name: string): string {
  if (!partitionFromName(name)) throw new Error(`not a partition's name: ${name}`);
  return `"${name}"`;
}
