import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type Database, openDatabase } from '../../../hub/store/database.ts';
import {
  migrateDown,
  migrateUp,
  migrationStatus,
  requireCurrentSchema,
  withSchema,
} from '../../../hub/store/migrate.ts';
import { type Migration, migrationsDir, readMigrations } from '../../../hub/store/migrations.ts';
import { type TestDatabase, testDatabase } from '../../harness/postgres.ts';

const migrations = await readMigrations(migrationsDir());
let database: TestDatabase;
let db: Database;

beforeEach(async () => {
  database = await testDatabase({ empty: true });
  db = openDatabase({ url: database.url, maxConnections: 4 });
});
afterEach(async () => {
  await db.end();
  await database.drop();
});

/** Tables, columns, defaults, constraints and indexes as text: equal for equal schemas. */
async function schemaOf(sql: Database): Promise<string[]> {
  const rows = await sql.many<{ line: string }>(`
    select format('%s.%s %s %s %s', c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
      pg_get_expr(d.adbin, d.adrelid)) as line
    from pg_attribute a join pg_class c on c.oid = a.attrelid
    left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
    where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p', 'v', 'm', 'S') and a.attnum > 0
      and not a.attisdropped
    union all
    select conrelid::regclass || ' ' || pg_get_constraintdef(oid) from pg_constraint
    where connamespace = 'public'::regnamespace
    union all
    select indexdef from pg_indexes where schemaname = 'public'
    union all
    select relname || ' ' || reloptions::text from pg_class
    where relnamespace = 'public'::regnamespace and reloptions is not null
    order by 1`);
  return rows.map((row) => row.line).filter((line) => !line.includes('schema_migrations'));
}

describe('up and down', () => {
  test('every rollback takes its update back, whole', async () => {
    const schemas: string[][] = [await schemaOf(db)];
    for (let count = 1; count <= migrations.length; count += 1) {
      await migrateUp(db, migrations.slice(0, count));
      schemas.push(await schemaOf(db));
    }
    for (let count = migrations.length; count > 0; count -= 1) {
      expect(await schemaOf(db)).toEqual(schemas[count]);
      const [undone] = await migrateDown(db, migrations.slice(0, count));
      expect(undone?.version).toBe(count);
      expect(await schemaOf(db)).toEqual(schemas[count - 1]);
      await migrateUp(db, migrations.slice(0, count));
      expect(await schemaOf(db)).toEqual(schemas[count]);
      await migrateDown(db, migrations.slice(0, count));
    }
    expect(schemas[0]).toEqual([]);
    expect(schemas.at(-1)?.length).toBeGreaterThan(100);
  });

  test('rows of older migrations outlive the rollback of a newer one', async () => {
    await migrateUp(db, migrations);
    await db.run("insert into regions (name) values ('eu-west')");
    await migrateDown(db, migrations, migrations.length - 1);
    expect(await db.many('select name from regions')).toEqual([{ name: 'eu-west' }]);
    await migrateUp(db, migrations);
    expect(await db.many('select name from regions')).toEqual([{ name: 'eu-west' }]);
  });

  test('a second run does nothing, and down stops at the bottom', async () => {
    expect((await migrateUp(db, migrations)).length).toBe(migrations.length);
    expect(await migrateUp(db, migrations)).toEqual([]);
    expect((await migrateDown(db, migrations, 1000)).length).toBe(migrations.length);
    expect(await migrateDown(db, migrations)).toEqual([]);
  });

  test('eight replicas that start together run each migration once', async () => {
    const runs = await Promise.all(
      Array.from({ length: 8 }, () => withSchema(database.url, (own) => migrateUp(own, migrations))),
    );
    // Whose turn it is, is settled for each of them anew.
    const versions = runs.flat().map((migration) => migration.version);
    expect(versions.toSorted((a, b) => a - b)).toEqual(migrations.map((one) => one.version));
  });

  test('a migration that fails leaves the one before it and says where', async () => {
    const broken: Migration = {
      version: 2,
      name: 'broken',
      update: 'create table half ();\n\nalter table nowhere add column x int;',
      rollback: '',
      checksum: 'x',
    };
    const two = [migrations[0] as Migration, broken];
    await expect(migrateUp(db, two)).rejects.toThrow(
      /^0002_broken_update\.sql(:3)?: relation "nowhere" does not/,
    );
    expect(await db.one("select to_regclass('half') as half")).toEqual({ half: null });
    expect((await migrationStatus(db, two)).map((one) => one.state)).toEqual(['applied', 'pending']);
  });
});

describe('a schema that does not fit is refused', () => {
  test('a file changed after it was run', async () => {
    await migrateUp(db, migrations);
    const changed = migrations.map((one, index) => (index === 1 ? { ...one, checksum: 'other' } : one));
    for (const refused of [
      () => migrateUp(db, changed),
      () => migrateDown(db, changed),
      () => requireCurrentSchema(db, changed),
    ]) {
      await expect(refused()).rejects.toMatchObject({ code: 'schema.changed' });
    }
    expect((await migrationStatus(db, changed))[1]?.state).toBe('changed');
  });

  test('a database newer than the code', async () => {
    await migrateUp(db, migrations);
    const older = migrations.slice(0, -1);
    for (const refused of [
      () => migrateUp(db, older),
      () => migrateDown(db, older),
      () => requireCurrentSchema(db, older),
    ]) {
      await expect(refused()).rejects.toMatchObject({ code: 'schema.newer' });
    }
    expect((await migrationStatus(db, older)).at(-1)?.state).toBe('unknown');
  });

  test('an older one, where the hub is told not to migrate', async () => {
    await expect(requireCurrentSchema(db, migrations)).rejects.toMatchObject({ code: 'schema.older' });
    await migrateUp(db, migrations);
    await requireCurrentSchema(db, migrations);
    await migrateDown(db, migrations);
    await expect(requireCurrentSchema(db, migrations)).rejects.toThrow(/parallax migrate up/);
  });
});

describe('the folder', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'migrations-'));
    await cp(migrationsDir(), folder, { recursive: true });
  });
  afterEach(() => rm(folder, { recursive: true }));

  test.each([
    ['0999_gap_update.sql', /gap lacks its rollback/],
    ['0001_other_update.sql', /0001 is both/],
    ['readme.sql', /not named NNNN_name_update/],
  ])('%s is refused', async (file, message) => {
    await writeFile(join(folder, file), 'select 1');
    await expect(readMigrations(folder)).rejects.toThrow(message);
  });

  test('a missing number is refused', async () => {
    for (const kind of ['update', 'rollback']) await writeFile(join(folder, `0999_far_${kind}.sql`), '');
    await expect(readMigrations(folder)).rejects.toThrow(/999 \(far\) where \d+ should stand/);
  });

  test('line ends of another system do not change a checksum', async () => {
    const file = join(folder, '0001_foundation_update.sql');
    await writeFile(file, (await readFile(file, 'utf8')).replaceAll('\n', '\r\n'));
    expect((await readMigrations(folder))[0]?.checksum).toBe(migrations[0]?.checksum);
  });
});
