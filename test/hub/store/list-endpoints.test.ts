import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Database, openDatabase, type Sql } from '../../../hub/store/database.ts';
import { type EndpointFilter, listEndpoints } from '../../../hub/store/list-endpoints.ts';
import { type TestDatabase, testDatabase } from '../../harness/postgres.ts';

let database: TestDatabase;
let db: Database;
beforeAll(async () => {
  database = await testDatabase();
  db = openDatabase({ url: database.url, maxConnections: 2 });
  await db.run(
    `insert into endpoints (name, rev, spec, sealed, source, changed_at, mac)
     select 'shop-' || n, 1, jsonb_build_object('regions', '[]'::jsonb, 'tags', jsonb_build_object('team', n % 50)),
       '{}', 'api', now(), '' from generate_series(1, 20000) n`,
  );
  await db.run('analyze endpoints');
});
afterAll(async () => {
  await db.end();
  await database.drop();
});

const all: EndpointFilter = { tags: [], name: null, regions: null, after: null, limit: 101 };

test.each([
  ['the first', all],
  ['one further on', { ...all, after: 'shop-15000' }],
])('%s page is a walk along the names, however many there are', async (_, filter) => {
  const plans: string[] = [];
  const explaining = {
    many: async (text: string, values: readonly unknown[]) => {
      const rows = await db.many<{ 'QUERY PLAN': string }>(`explain ${text}`, values);
      plans.push(rows.map((row) => row['QUERY PLAN']).join('\n'));
      return [];
    },
  } as unknown as Sql;
  await listEndpoints(explaining, filter);
  expect(plans[0]).toContain('endpoints_by_name');
  expect(plans[0]).not.toContain('Sort');
  expect(await listEndpoints(db, filter)).toHaveLength(101);
});

test('filters, each alone and together', async () => {
  const names = async (filter: Partial<EndpointFilter>) =>
    (await listEndpoints(db, { ...all, limit: 3, ...filter })).map(({ name }) => name);
  expect(await names({ name: 'SHOP-1999' })).toEqual(['shop-1999', 'shop-19990', 'shop-19991']);
  expect(await names({ tags: [{ name: 'team', value: null }] })).toEqual(['shop-1', 'shop-10', 'shop-100']);
  expect(await names({ tags: [{ name: 'other', value: null }] })).toEqual([]);
  expect(await names({ tags: [{ name: 'team', value: '7' }] })).toEqual([]);
  expect(await names({ after: 'shop-9999' })).toEqual([]);
});
