import { setTimeout as wait } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Database, openDatabase } from '../../../hub/store/database.ts';
import { type TestDatabase, testDatabase } from '../../harness/postgres.ts';

let database: TestDatabase;
let db: Database;
beforeAll(async () => {
  database = await testDatabase({ empty: true });
  db = openDatabase({ url: database.url, maxConnections: 2 });
});
afterAll(async () => {
  await db.end();
  await database.drop();
});

test('a connection that breaks between two statements of a transaction fails it, and nothing else', async () => {
  const uncaught: unknown[] = [];
  const note = (error: unknown) => void uncaught.push(error);
  process.on('uncaughtException', note);
  try {
    const work = db.transaction(async (sql) => {
      const { pid } = await sql.one<{ pid: number }>('select pg_backend_pid() as pid');
      await db.run('select pg_terminate_backend($1::int)', [pid]);
      // Nobody waits for an answer on it when it breaks.
      await wait(200);
      await sql.run('select 1');
    });
    await expect(work).rejects.toThrow(/not queryable|terminat/i);
    expect(await db.one('select 1 as one')).toEqual({ one: 1 });
    expect(uncaught).toEqual([]);
    expect(db.pool().waiting).toBe(0);
  } finally {
    process.off('uncaughtException', note);
  }
});

test('whoever stands still in the middle of a transaction gives its locks up, and whoever waits for them goes on', async () => {
  const hasty = openDatabase({ url: database.url, maxConnections: 1, idleTransactionMs: 300 });
  try {
    await db.run('create table held (id int primary key)');
    await db.run('insert into held values (1)');
    const locked = Promise.withResolvers<void>();
    const resumed = Promise.withResolvers<void>();
    const stuck = hasty.transaction(async (sql) => {
      await sql.run('select from held for update');
      locked.resolve();
      await resumed.promise;
      await sql.run('delete from held');
    });
    stuck.catch(() => undefined);
    await locked.promise;
    expect(await db.transaction((sql) => sql.run('update held set id = 2'))).toBe(1);
    // As after SIGCONT: it hears that it came too late, and what it did is not there.
    resumed.resolve();
    await expect(stuck).rejects.toThrow();
    expect(await hasty.many('select id from held')).toEqual([{ id: 2 }]);
  } finally {
    await hasty.end();
  }
});

test('a statement that the client waits for no longer ends in the server too', async () => {
  const hasty = openDatabase({ url: database.url, maxConnections: 1, queryTimeoutMs: 200 });
  try {
    await expect(hasty.transaction((sql) => sql.run('select pg_sleep(60)'))).rejects.toThrow(/timeout/);
    const asleep = () => db.many("select from pg_stat_activity where query like 'select pg_sleep(60)%'");
    expect(await asleep()).toHaveLength(1);
    await wait(1300);
    expect(await asleep()).toEqual([]);
  } finally {
    await hasty.end();
  }
});

test.each([
  ['off', 'on'],
  ['remote_write', 'remote_write'],
])('on a server with synchronous_commit %s a transaction is committed with it %s', async (set, used) => {
  const url = new URL(database.url);
  url.searchParams.set('options', `-c synchronous_commit=${set}`);
  const loose = openDatabase({ url: url.href, maxConnections: 1 });
  try {
    const shown = () => loose.transaction((sql) => sql.one('show synchronous_commit'));
    expect(await shown()).toEqual({ synchronous_commit: used });
    expect(await loose.one('show synchronous_commit')).toEqual({ synchronous_commit: set });
  } finally {
    await loose.end();
  }
});
