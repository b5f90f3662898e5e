import { setTimeout as wait } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type Database, openDatabase } from '../../../hub/store/database.ts';
import type { TrustedEndpoint } from '../../../hub/trust/catalog.ts';
import { type Board, startBoard } from '../../../hub/web/board.ts';
import { endpointSchemas } from '../../../shared/endpoint.ts';
import { type TestDatabase, testDatabase } from '../../harness/postgres.ts';
import { quiet } from '../ingest/scene.ts';
import { until } from '../ingest/until.ts';

let database: TestDatabase;
let db: Database;
let board: Board;
let reads = 0;
let endpoints: TrustedEndpoint[];
let edited = () => {};

const endpoint = (id: number): TrustedEndpoint => ({
  id,
  rev: 1,
  endpoint: endpointSchemas.http.parse({ name: `shop-${id}`, url: 'https://shop.example/', interval: '1h' }),
  changedAtUs: 0,
  deleted: false,
});

beforeEach(async () => {
  database = await testDatabase();
  db = openDatabase({ url: database.url, maxConnections: 4 });
  reads = 0;
  const counted: Database = {
    ...db,
    many: (text, values) => {
      if (text.includes('from latest_results')) reads += 1;
      return db.many(text, values);
    },
  };
  endpoints = [];
  board = startBoard({
    db: counted,
    catalog: {
      all: () => endpoints,
      subscribe: (listener) => {
        edited = () => listener([]);
        return () => undefined;
      },
    },
    registry: { regions: () => [{ id: 1, name: 'eu-west' }], probeById: () => undefined },
    changes: { subscribe: () => () => undefined },
    log: quiet,
    now: () => Date.now() * 1000,
    everyMs: 20,
  });
});
afterEach(async () => {
  await board.stop();
  await db.end();
  await database.drop();
});

const insert = (endpointId: number, totalUs: number) =>
  `insert into latest_results (endpoint_id, region_id, scheduled_at, probe_id, rev, outcome, suspect, total_us)
   values (${endpointId}, 1, now() - interval '1 hour' * ${endpointId}, 1, 1, 0, false, ${totalUs})
   on conflict (endpoint_id, region_id) do update set total_us = excluded.total_us`;

test('a row of a transaction that was under way at one read comes with a later one, however old its result', async () => {
  await db.run(insert(1, 10));
  await board.refresh();
  expect(board.latest(1, 1)?.totalUs).toBe(10);
  let commit: () => void = () => undefined;
  const held = new Promise<void>((done) => {
    commit = done;
  });
  let inserted: () => void = () => undefined;
  const isInserted = new Promise<void>((done) => {
    inserted = done;
  });
  const slow = db.transaction(async (sql) => {
    await sql.run(insert(2, 20));
    inserted();
    await held;
  });
  await isInserted;
  // Others commit after it began, and reads go by.
  await db.run(insert(3, 30));
  const stop = board.watch(() => undefined);
  await until(() => board.latest(3, 1) !== undefined);
  const before = reads;
  await until(() => reads > before + 2);
  expect(board.latest(2, 1)).toBeUndefined();
  commit();
  await slow;
  await until(() => board.latest(2, 1)?.totalUs === 20);
  stop();
});

test('what did not change is not told again; many who watch are one read', async () => {
  await db.run(insert(1, 10));
  await board.refresh();
  const told: number[] = [];
  const stops = Array.from({ length: 50 }, () => board.watch(({ changed }) => told.push(...changed.keys())));
  const before = reads;
  const began = performance.now();
  await until(() => reads >= before + 5);
  expect(reads - before).toBeLessThanOrEqual((performance.now() - began) / 20 + 1);
  expect(told).toEqual([]);
  await db.run(insert(1, 11));
  await until(() => told.length === 50);
  for (const stop of stops) stop();
});

test('nobody watches: read once in 15 s at most, and at once when somebody does again', async () => {
  const stop = board.watch(() => undefined);
  await until(() => reads > 1);
  stop();
  const before = reads;
  await until(() => true);
  await new Promise((done) => setTimeout(done, 200));
  expect(reads).toBeLessThanOrEqual(before + 1);
  const idle = reads;
  const again = board.watch(() => undefined);
  await until(() => reads > idle + 2, 5000);
  again();
});

test('a database that is away is told of, and read again when it is back', async () => {
  const ticks: number[] = [];
  const stop = board.watch(({ version }) => ticks.push(version));
  await until(() => ticks.length > 0);
  await db.run('alter table latest_results rename to hidden');
  const before = board.readAt() ?? 0;
  const told = ticks.length;
  await until(() => ticks.length > told + 3);
  await db.run('alter table hidden rename to latest_results');
  await until(() => (board.readAt() ?? 0) > before + 0.05);
  stop();
});

test('what is deleted is forgotten', async () => {
  endpoints = [endpoint(1), endpoint(2)];
  await db.run(insert(1, 10));
  await db.run(insert(2, 20));
  await board.refresh();
  endpoints = [endpoint(2)];
  edited();
  // The first may be a read that was under way before the edit.
  await board.refresh();
  await board.refresh();
  expect(board.latest(1, 1)).toBeUndefined();
  expect(board.latest(2, 1)?.totalUs).toBe(20);
  expect(board.changedSince(0, [1, 2])).toEqual([2]);
});

test('the rate is of ten seconds, and one read of very many costs no more than itself', async () => {
  const many = 200_000;
  endpoints = [endpoint(1)];
  await db.run(insert(1, 10));
  await board.refresh();
  expect(board.rate()).toBe(0);
  const next = `update latest_results set scheduled_at = scheduled_at + interval '1 hour'`;
  await db.run(next);
  await wait(30);
  await board.refresh();
  expect(board.rate()).toBe(0.1);
  endpoints = Array.from({ length: many }, (_, index) => endpoint(index + 1));
  edited();
  await db.run(
    `insert into latest_results (endpoint_id, region_id, scheduled_at, probe_id, rev, outcome, suspect, total_us)
     select id, 1, now() - interval '1 day', 1, 1, 0, false, 1 from generate_series(2, $1::int) as id`,
    [many],
  );
  await board.refresh();
  await db.run(next);
  await wait(30);
  await board.refresh();
  // The one before may be ten seconds away by now, on a machine that has others to serve.
  expect([many / 10, (many + 1) / 10]).toContain(board.rate());
});
