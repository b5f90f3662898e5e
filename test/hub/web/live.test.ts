import { afterEach, beforeEach, expect, test } from 'vitest';
import { type Database, openDatabase } from '../../../hub/store/database.ts';
import type { Catalog } from '../../../hub/trust/catalog.ts';
import { type Board, startBoard } from '../../../hub/web/board.ts';
import { type Live, startLive } from '../../../hub/web/live.tsx';
import { endpointSchemas } from '../../../shared/endpoint.ts';
import { type TestDatabase, testDatabase } from '../../harness/postgres.ts';
import { quiet } from '../ingest/scene.ts';
import { until } from '../ingest/until.ts';

/** Streams whose reader is in our hand: what waits here for a client can be measured. */

const [maxWaiting, stuckMs] = [16_384, 1500];
const count = 50;
const operator = { actor: 'test', scopes: ['read'], regions: null } as const;

let database: TestDatabase;
let db: Database;
let board: Board;
let live: Live;

beforeEach(async () => {
  database = await testDatabase();
  db = openDatabase({ url: database.url, maxConnections: 4 });
  const now = () => Date.now() * 1000;
  board = startBoard({
    db,
    catalog,
    registry,
    changes: { subscribe: () => () => undefined },
    log: quiet,
    now,
    everyMs: 20,
  });
  live = startLive({
    board,
    bus: { status: () => ({ kind: 'direct', ready: true, reason: null, lag: null }) },
    now,
    maxWaiting,
    stuckMs,
  });
  await board.refresh();
});
afterEach(async () => {
  live.stop();
  await board.stop();
  await db.end();
  await database.drop();
});

const catalog: Pick<Catalog, 'all' | 'subscribe'> = {
  all: () =>
    Array.from({ length: count }, (_, index) => ({
      id: index + 1,
      rev: 1,
      endpoint: endpointSchemas.http.parse({ name: `endpoint ${index}`, url: 'https://e.example/' }),
      changedAtUs: 0,
      deleted: false,
    })),
  subscribe: () => () => undefined,
};
const registry = { regions: () => [{ id: 1, name: 'eu-west' }], probeById: () => undefined };
const ids = Array.from({ length: count }, (_, index) => index + 1);

/** New results of these endpoints, all with this total. */
async function see(endpointIds: readonly number[], ms: number): Promise<void> {
  const version = board.version();
  await db.run(
    `insert into latest_results (endpoint_id, region_id, scheduled_at, probe_id, rev, outcome, suspect, total_us)
     select id, 1, now(), 1, 1, 0, false, $2::int4 from unnest($1::int8[]) id
     on conflict (endpoint_id, region_id) do update set scheduled_at = excluded.scheduled_at, total_us = excluded.total_us`,
    [endpointIds, ms * 1000],
  );
  await until(() => board.version() > version);
}

const open = () =>
  live
    .open({ operator, endpointIds: ids, probes: false, admin: false, since: live.version() })
    .body?.getReader();

test('what waits for a slow client is bounded, and it gets the newest of what it missed', async () => {
  const reader = open();
  const calm = ids.slice(0, 1);
  const busy = ids.slice(1);
  // One picture of the page is more than may wait.
  await see(busy, 11);
  await see(calm, 54_321);
  for (let ms = 100; ms < 110; ms += 1) await see(busy, ms);
  const decoder = new TextDecoder();
  let text = '';
  const readOn = (async () => {
    for (;;) {
      const { done, value } = (await reader?.read()) ?? { done: true, value: undefined };
      if (done) return;
      text += decoder.decode(value, { stream: true });
    }
  })();
  await until(() => text.includes('>109<'));
  expect(text).toContain('>54 s<');
  // The pictures in between were never made.
  for (let ms = 101; ms < 109; ms += 1) expect(text).not.toContain(`>${ms}<`);
  expect(text.length).toBeLessThan(maxWaiting + 2 * 60_000);
  live.stop();
  await readOn;
});

test('who takes nothing for long is let go, and nobody else', async () => {
  const stuck = open();
  const quick = open();
  const reading = (async () => {
    for (;;) if ((await quick?.read())?.done ?? true) return;
  })();
  expect(live.clients()).toBe(2);
  const began = performance.now();
  let ms = 1;
  for (; live.clients() === 2; ms += 1) await see(ids, ms);
  expect(performance.now() - began).toBeGreaterThan(stuckMs);
  for (let more = 0; more < 5; more += 1) await see(ids, ms + more);
  expect(live.clients()).toBe(1);
  await stuck?.cancel();
  live.stop();
  await reading;
});

test('a client that leaves is forgotten, and with the last one the reading ends', async () => {
  const first = open();
  const second = open();
  await first?.cancel();
  expect(live.clients()).toBe(1);
  await second?.cancel();
  expect(live.clients()).toBe(0);
});
