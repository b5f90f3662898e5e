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
