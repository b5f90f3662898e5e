import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Database, openDatabase } from '../../../hub/store/database.ts';
import { deleteForgottenRevs } from '../../../hub/store/delete-forgotten-revs.ts';
import { type TestDatabase, testDatabase } from '../../harness/postgres.ts';

let database: TestDatabase;
let db: Database;
beforeAll(async () => {
  database = await testDatabase();
  db = openDatabase({ url: database.url, maxConnections: 1 });
});
afterAll(async () => {
  await db.end();
  await database.drop();
});

const dayUs = 86_400_000_000;

/** An endpoint whose revs were made so many days ago; `deleted` as many days ago as the last. */
async function endpoint(name: string, revsDaysAgo: readonly number[], deleted = false): Promise<void> {
  const { id } = await db.one<{ id: number }>(
    `insert into endpoints (name, rev, spec, sealed, source, changed_at, deleted_at, mac)
     values ($1, $2, '{}', '{}', 'test', now() - $3::int * interval '1 day',
       case when $4 then now() - $3::int * interval '1 day' end, '') returning id`,
    [name, revsDaysAgo.length, revsDaysAgo.at(-1), deleted],
  );
  for (const [index, days] of revsDaysAgo.entries()) {
    await db.run(
      `insert into endpoint_revs values ($1, $2, '{}', '{}', now() - $3::int * interval '1 day', 'test')`,
      [id, index + 1, days],
    );
  }
}

async function revs(): Promise<Record<string, number[]>> {
  const rows = await db.many<{ name: string; revs: number[] }>(
    `select e.name, array_agg(r.rev order by r.rev) filter (where r.rev is not null) as revs
     from endpoints e left join endpoint_revs r on r.endpoint_id = e.id group by e.name`,
  );
  return Object.fromEntries(rows.map(({ name, revs: left }) => [name, left ?? []]));
}

test('revs go when no result and no lease can be of them any more; what is in force stays', async () => {
  // Kept for 7 days: what was replaced more than 15 days ago goes.
  await endpoint('never edited', [400]);
  await endpoint('edited often', [400, 300, 16, 14, 1]);
  await endpoint('edited lately', [400, 14]);
  await endpoint('deleted long ago', [400, 300, 16], true);
  await endpoint('deleted lately', [400, 300, 14], true);
  const oldestUs = Date.now() * 1000 - 7 * dayUs;
  expect(await deleteForgottenRevs(db, oldestUs, 1)).toBe(1);
  await deleteForgottenRevs(db, oldestUs);
  expect(await revs()).toEqual({
    'never edited': [1],
    'edited often': [3, 4, 5],
    'edited lately': [1, 2],
    'deleted long ago': [],
    'deleted lately': [2, 3],
  });
  expect(await deleteForgottenRevs(db, oldestUs)).toBe(0);
});

test('one whose next went before it, since a call deletes only so many, goes as well', async () => {
  await endpoint('cut short', [400, 300, 200, 1]);
  await db.run(
    "delete from endpoint_revs where rev = 2 and endpoint_id = (select id from endpoints where name = 'cut short')",
  );
  await deleteForgottenRevs(db, Date.now() * 1000 - 7 * dayUs);
  expect((await revs())['cut short']).toEqual([3, 4]);
});
