import { afterAll, expect, test } from 'vitest';
import { openDatabase } from '../../hub/store/database.ts';
import { testDatabase } from './postgres.ts';

const opened: { end(): Promise<void> }[] = [];
afterAll(async () => {
  for (const resource of opened.reverse()) await resource.end();
});

async function open(options: { empty?: boolean } = {}) {
  const { url, drop } = await testDatabase(options);
  const db = openDatabase({ url });
  opened.push({ end: drop }, db);
  return db;
}

test('each test database is migrated and sees nothing of the others, also when many are made at once', async () => {
  const databases = await Promise.all(Array.from({ length: 5 }, () => open()));
  for (const db of databases) await db.run("insert into regions (name) values ('eu-west')");
  for (const db of databases) {
    expect(await db.many('select id, name from regions')).toEqual([{ id: 1, name: 'eu-west' }]);
  }
});

test('an empty database has no schema', async () => {
  const db = await open({ empty: true });
  const tables = await db.many("select 1 from pg_tables where schemaname = 'public'");
  expect(tables).toEqual([]);
});
