import { setTimeout as wait } from 'node:timers/promises';
import { type Database, openDatabase, type Sql } from './database.ts';
import type { Migration } from './migrations.ts';

/** Any number nobody else uses: replicas that start together migrate one after the other. */
const migrationLock = 7_125_306_401;

export interface MigrationStatus {
  readonly version: number;
  readonly name: string;
  /** `changed`: the file is not the one that was run. `unknown`: run by a newer Parallax. */
  readonly state: 'applied' | 'pending' | 'changed' | 'unknown';
  readonly appliedAt: Date | null;
}

/** The schema does not fit the code; the message says what to do. */
export class SchemaError extends Error {
  readonly code: 'schema.newer' | 'schema.older' | 'schema.changed' | 'schema.busy';
  constructor(code: SchemaError['code'], message: string) {
    super(message);
    this.name = 'SchemaError';
    this.code = code;
  }
}

interface AppliedRow {
  version: number;
  name: string;
  checksum: string;
  applied_at: Date;
}

/** Opens a connection for work on the schema: a migration may take as long as it takes. */
export async function withSchema<T>(url: string, work: (db: Database) => Promise<T>): Promise<T> {
  const db = openDatabase({
    url,
    maxConnections: 1,
    applicationName: 'parallax-migrate',
    queryTimeoutMs: null,
  });
  try {
    return await work(db);
  } finally {
    await db.end();
  }
}

/**
 * Runs what is missing, each migration in a transaction of its own together with its record: a migration that fails
 * leaves the schema at the one before. Returns what was run.
 */
export async function migrateUp(db: Database, migrations: readonly Migration[]): Promise<Migration[]> {
  const done: Migration[] = [];
  for (;;) {
    const next = await db.transaction(async (sql) => {
      const applied = await lockAndRead(sql);
      refuseStrange(applied, migrations);
      const pending = migrations[applied.length];
      if (!pending) return null;
      await runFile(sql, pending, 'update');
      await sql.run(
        'insert into schema_migrations (version, name, checksum) values ($1::int, $2::text, $3::text)',
        [pending.version, pending.name, pending.checksum],
      );
      return pending;
    });
    if (!next) return done;
    done.push(next);
  }
}

/** Takes back the newest `steps` migrations, one transaction each. Returns what was taken back, newest first. */
export async function migrateDown(
  db: Database,
  migrations: readonly Migration[],
  steps = 1,
): Promise<Migration[]> {
  const done: Migration[] = [];
  while (done.length < steps) {
    const last = await db.transaction(async (sql) => {
      const applied = await lockAndRead(sql);
      refuseStrange(applied, migrations);
      const newest = migrations[applied.length - 1];
      if (!newest) return null;
      await runFile(sql, newest, 'rollback');
      await sql.run('delete from schema_migrations where version = $1::int', [newest.version]);
      return newest;
    });
    if (!last) return done;
    done.push(last);
  }
  return done;
}

export async function migrationStatus(
  db: Sql,
  migrations: readonly Migration[],
): Promise<readonly MigrationStatus[]> {
  const applied = new Map((await readApplied(db)).map((row) => [row.version, row]));
  const known = migrations.map(({ version, name, checksum }): MigrationStatus => {
    const row = applied.get(version);
    const state = !row ? 'pending' : row.checksum === checksum ? 'applied' : 'changed';
    return { version, name, state, appliedAt: row?.applied_at ?? null };
  });
  const unknown = [...applied.values()]
    .filter((row) => row.version > migrations.length)
    .map(({ version, name, applied_at }) => ({
      version,
      name,
      state: 'unknown' as const,
      appliedAt: applied_at,
    }));
  return [...known, ...unknown];
}

/** For `--no-migrate`: resolves only where the schema is exactly the code's. */
export async function requireCurrentSchema(db: Sql, migrations: readonly Migration[]): Promise<void> {
  const applied = await readApplied(db);
  refuseStrange(applied, migrations);
  const missing = migrations.slice(applied.length);
  if (missing[0]) {
    throw new SchemaError(
      'schema.older',
      `the database's schema is at ${applied.length}, this Parallax needs ${migrations.length}: run \`parallax migrate up\`, or start without --no-migrate`,
    );
  }
}

function refuseStrange(applied: readonly AppliedRow[], migrations: readonly Migration[]): void {
  const newest = applied.at(-1);
  if (newest && newest.version > migrations.length) {
    throw new SchemaError(
      'schema.newer',
      `the database's schema is at ${newest.version} (${newest.name}), this Parallax knows up to ${migrations.length}: run the newer Parallax, or roll back with it by \`parallax migrate down\``,
    );
  }
  for (const [index, row] of applied.entries()) {
    const file = migrations[index];
    if (row.version !== index + 1 || file?.name !== row.name || file.checksum !== row.checksum) {
      throw new SchemaError(
        'schema.changed',
        `migration ${row.version} (${row.name}) was run from a file with another content than the one here: restore the file as it was released; a change goes into a new migration`,
      );
    }
  }
}

/** A lock of the transaction, not of the session: it holds behind a pooler too, and ends with whoever dies. */
async function lockAndRead(sql: Sql): Promise<AppliedRow[]> {
  const deadlineMs = performance.now() + 120_000;
  while (!(await tryLock(sql))) {
    if (performance.now() > deadlineMs) {
      throw new SchemaError(
        'schema.busy',
        'another process has been migrating this database for 2 minutes: wait for it, or look for its connection in pg_stat_activity',
      );
    }
    await wait(100);
  }
  // A migration waits behind long readers only so long, and with it all who queue behind the migration.
  await sql.run("set local lock_timeout = '30s'");
  await sql.run(`create table if not exists schema_migrations (
    version integer primary key,
    name text not null,
    checksum text not null,
    applied_at timestamptz not null default now()
  )`);
  return readApplied(sql);
}

async function tryLock(sql: Sql): Promise<boolean> {
  const { mine } = await sql.one<{ mine: boolean }>('select pg_try_advisory_xact_lock($1::bigint) as mine', [
    migrationLock,
  ]);
  return mine;
}

async function readApplied(sql: Sql): Promise<AppliedRow[]> {
  const exists = await sql.one<{ exists: boolean }>(
    "select to_regclass('schema_migrations') is not null as exists",
  );
  if (!exists.exists) return [];
  return sql.many<AppliedRow>(
    'select version, name, checksum, applied_at from schema_migrations order by version',
  );
}

async function runFile(sql: Sql, migration: Migration, kind: 'update' | 'rollback'): Promise<void> {
  try {
    await sql.run(migration[kind]);
  } catch (error) {
    const { message, position } = error as { message: string; position?: string };
    const line = position ? migration[kind].slice(0, Number(position)).split('\n').length : null;
    const file = `${String(migration.version).padStart(4, '0')}_${migration.name}_${kind}.sql`;
    throw new Error(`${file}${line === null ? '' : `:${line}`}: ${message}`, { cause: error });
  }
}
