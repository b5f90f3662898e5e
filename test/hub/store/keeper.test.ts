import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type Database, openDatabase } from '../../../hub/store/database.ts';
import { type Keeper, startKeeper } from '../../../hub/store/keeper.ts';
import { dayUs, partitionWidth } from '../../../hub/store/partition-plan.ts';
import { listPartitions } from '../../../hub/store/partitions.ts';
import { selectDurable } from '../../../hub/store/select-durable.ts';
import { type TestDatabase, testDatabase } from '../../harness/postgres.ts';
import { quiet } from '../ingest/scene.ts';
import { until } from '../ingest/until.ts';

const startUs = Date.UTC(2026, 2, 10, 15, 30) * 1000;
let database: TestDatabase;
let db: Database;
let keepers: Keeper[];
let nowUs: number;
let pairs: number;
/** How wrong this machine's clock is. */
let aheadUs: number;
let retentionDays: number;

beforeEach(async () => {
  database = await testDatabase();
  db = openDatabase({ url: database.url });
  keepers = [];
  nowUs = startUs;
  pairs = 12;
  aheadUs = 0;
  retentionDays = 7;
});
afterEach(async () => {
  for (const keeper of keepers) await keeper.stop();
  await db.end();
  await database.drop();
});

async function keep(everyMs?: number): Promise<Keeper> {
  const policy = () => ({ width: partitionWidth(pairs), retentionDays });
  const keeper = await startKeeper({
    db,
    log: quiet,
    now: () => nowUs + aheadUs,
    databaseNow: async () => nowUs,
    policy,
    ...(everyMs !== undefined && { everyMs }),
  });
  keepers.push(keeper);
  return keeper;
}

const names = async () => (await listPartitions(db)).map((partition) => partition.name);
const insertAt = (us: number) =>
  db.run(
    `insert into results (endpoint_id, region_id, scheduled_at, probe_id, rev, kind, outcome, suspect, truncated,
       attempts, redirects, late_by_us, total_us, bytes)
     values (1, 1, $1, 1, 1, 0, 0, false, false, 1, 0, 0, 1, 1)`,
    [new Date(us / 1000)],
  );

describe('the keeper', () => {
  test('knows exactly what the database takes', async () => {
    const keeper = await keep();
    for (const days of [-8, -7, -1, 0, 1, 3, 4, 5]) {
      const us = startUs + days * dayUs;
      const takes = await insertAt(us).then(
        () => true,
        () => false,
      );
      expect([days, keeper.hasPartition(us)]).toEqual([days, takes]);
    }
  });

  test('makes days ahead and drops those whose last result is past retention, with their rows', async () => {
    const keeper = await keep();
    expect((await names())[0]).toBe('results_20260303');
    await insertAt(startUs - 7 * dayUs);
    nowUs = startUs + dayUs;
    await keeper.tend();
    expect((await names())[0]).toBe('results_20260304');
    expect((await names()).at(-1)).toBe('results_20260314');
    expect(await db.one('select count(*) from results')).toEqual({ count: 0 });
    expect(keeper.hasPartition(startUs - 7 * dayUs)).toBe(false);
    expect(keeper.hasPartition(nowUs + 3 * dayUs)).toBe(true);
  });

  test('makes hours of the days that are to come, once there are more than 100,000 pairs', async () => {
    const keeper = await keep();
    pairs = 100_000;
    nowUs = startUs + dayUs;
    await keeper.tend();
    expect((await names()).at(-1)).toBe('results_20260314');
    pairs = 100_001;
    nowUs = startUs + 2 * dayUs;
    // Somebody is ahead of us all: what is in a day stays in it.
    await insertAt(Date.UTC(2026, 2, 13, 12) * 1000);
    await keeper.tend();
    const made = await names();
    const hours = (day: number) =>
      Array.from({ length: 24 }, (_, hour) => `results_202603${day}${String(hour).padStart(2, '0')}`);
    expect(made.slice(-50)).toEqual(['results_20260312', 'results_20260313', ...hours(14), ...hours(15)]);
    await insertAt(Date.UTC(2026, 2, 15, 23, 59) * 1000);
    expect(keeper.hasPartition(Date.UTC(2026, 2, 15, 23, 59) * 1000)).toBe(true);
    expect(keeper.hasPartition(Date.UTC(2026, 2, 14, 0, 0) * 1000)).toBe(true);
    // And nothing is lost or sealed by it.
    expect(await db.one('select count(*) from results')).toEqual({ count: 2 });
    expect(keeper.sealedUntilUs()).toBe(Date.UTC(2026, 2, 5) * 1000);
  });

  test('takes up again after five days away: all that is outlived goes at once, and is sealed', async () => {
    const keeper = await keep();
    await keeper.stop();
    nowUs = startUs + 5 * dayUs;
    const back = await keep();
    expect((await names())[0]).toBe('results_20260308');
    expect((await names()).at(-1)).toBe('results_20260318');
    expect(back.sealedUntilUs()).toBe(Date.UTC(2026, 2, 8) * 1000);
    expect(back.hasPartition(nowUs)).toBe(true);
  });

  test.each([
    ['ahead', 40],
    ['behind', -40],
  ] as const)(
    'whose clock is days %s drops nothing, and takes what either clock calls now',
    async (_, days) => {
      await keep();
      for (const back of [6, 3, 0]) await insertAt(startUs - back * dayUs);
      aheadUs = days * dayUs;
      const wrong = await keep();
      expect(await db.one('select count(*) from results')).toEqual({ count: 3 });
      expect(wrong.hasPartition(startUs)).toBe(true);
      expect(wrong.hasPartition(startUs - 7 * dayUs)).toBe(true);
      // What is sealed is made by no clock again.
      expect(wrong.hasPartition(startUs + aheadUs)).toBe(days > 0);
      expect(wrong.clockSkewUs()).toBe(aheadUs);
      aheadUs = 0;
      await wrong.tend();
      expect(await db.one('select count(*) from results')).toEqual({ count: 3 });
    },
  );

  test('lowers retention at once, and raised again makes nothing that was sealed', async () => {
    const keeper = await keep();
    await insertAt(startUs - 5 * dayUs);
    retentionDays = 2;
    await keeper.tend();
    const sealedUs = Date.UTC(2026, 2, 8) * 1000;
    expect(keeper.sealedUntilUs()).toBe(sealedUs);
    expect((await names())[0]).toBe('results_20260308');
    expect(await db.one('select count(*) from results')).toEqual({ count: 0 });
    retentionDays = 30;
    await keeper.tend();
    const other = await keep();
    expect((await names())[0]).toBe('results_20260308');
    expect([keeper.sealedUntilUs(), other.sealedUntilUs()]).toEqual([sealedUs, sealedUs]);
  });

  test('of many replicas works beside the others, started at once', async () => {
    await Promise.all(Array.from({ length: 5 }, () => keep()));
    expect(await names()).toHaveLength(11);
    expect(keepers.every((keeper) => keeper.hasPartition(startUs))).toBe(true);
  });

  test('goes on after the database was away', async () => {
    await keep(50);
    await db.run('alter table streams rename to elsewhere');
    nowUs = startUs + 2 * dayUs;
    await new Promise((resolve) => setTimeout(resolve, 200));
    await db.run('alter table elsewhere rename to streams');
    nowUs = startUs + 4 * dayUs;
    await until(async () => (await names()).includes('results_20260317'));
  });

  test('puts off dropping what somebody reads, and makes the new partitions all the same', async () => {
    const keeper = await keep();
    nowUs = startUs + dayUs;
    const { promise: done, resolve: finish } = Promise.withResolvers<void>();
    const reader = db.transaction(async (sql) => {
      await sql.many('select * from results');
      await done;
    });
    await new Promise((resolve) => setTimeout(resolve, 100));
    await keeper.tend();
    expect(await names()).toEqual(expect.arrayContaining(['results_20260303', 'results_20260314']));
    expect(keeper.hasPartition(nowUs + 3 * dayUs)).toBe(true);
    finish();
    await reader;
    await keeper.tend();
    expect(await names()).not.toContain('results_20260303');
  });

  test('drops no faster than writers may wait: they go on while somebody reads what is to be dropped', async () => {
    const keeper = await keep();
    nowUs = startUs + dayUs;
    const { promise: done, resolve: finish } = Promise.withResolvers<void>();
    const { promise: reading, resolve: reads } = Promise.withResolvers<void>();
    const reader = db.transaction(async (sql) => {
      await sql.many('select * from results');
      reads();
      await done;
    });
    await reading;
    let tended = false;
    const tending = keeper.tend().finally(() => {
      tended = true;
    });
    let slowestMs = 0;
    let written = 0;
    while (!tended) {
      const beganMs = performance.now();
      await insertAt(nowUs + written * 1000);
      slowestMs = Math.max(slowestMs, performance.now() - beganMs);
      written += 1;
    }
    await tending;
    finish();
    await reader;
    expect(written).toBeGreaterThan(20);
    // One try of the drop, and the machine's own moods.
    expect(slowestMs).toBeLessThan(1500);
  });

  test('forgets rejects, counts, gaps and left streams past retention, and keeps a probe newest stream', async () => {
    const keeper = await keep();
    await db.run("insert into regions (name) values ('r')");
    await db.run(
      `insert into probes (region_id, name, public_key, thumbprint, status, enrollment, mac)
       select 1, 'p', '', n::text, 'active', gen_random_uuid(), '' from generate_series(1, 2) n`,
    );
    const old = new Date((startUs - 8 * dayUs) / 1000);
    const young = new Date((startUs - 6 * dayUs) / 1000);
    for (const [at, suffix] of [
      [old, 'old'],
      [young, 'young'],
    ] as const) {
      await db.run("insert into rejects (at, reason, detail) values ($1, 'x', '')", [at]);
      await db.run("insert into reject_counts (hour, reason, probe_id, count) values ($1, 'x', 1, 1)", [at]);
      await db.run("insert into gaps values ($2, 1, 1, 1, 1, 1, $1, $1, '', $1)", [at, suffix]);
      await db.run('insert into streams (stream, probe_id, last_at) values ($2, 1, $1)', [at, suffix]);
    }
    await db.run("insert into streams (stream, probe_id, last_at, up_to) values ('only', 2, $1, 9)", [old]);
    for (const [id, deletedAt] of [
      [1, old],
      [2, young],
      [3, null],
    ] as const) {
      await db.run(
        `insert into endpoints (id, name, rev, spec, sealed, source, changed_at, deleted_at, mac)
         overriding system value values ($1::int8, $1::int8::text, 1, '{}', '{}', '', now(), $2, '')`,
        [id, deletedAt],
      );
      await db.run(
        `insert into latest_results (endpoint_id, region_id, scheduled_at, probe_id, rev, outcome, suspect, total_us)
         values ($1, 1, now(), 1, 1, 0, false, 1), ($1, 2, now(), 1, 1, 0, false, 1)`,
        [id],
      );
    }
    await keeper.tend();
    expect(await db.many('select distinct endpoint_id as id from latest_results order by 1')).toEqual([
      { id: 2 },
      { id: 3 },
    ]);
    for (const table of ['rejects', 'reject_counts', 'gaps']) {
      expect([table, await db.one(`select count(*) from ${table}`)]).toEqual([table, { count: 1 }]);
    }
    expect(await db.many('select stream from streams order by 1')).toEqual([
      { stream: 'only' },
      { stream: 'young' },
    ]);
  });
});

test('durable is told of the probe own streams alone', async () => {
  await db.run("insert into regions (name) values ('r')");
  await db.run(
    `insert into probes (region_id, name, public_key, thumbprint, status, enrollment, mac)
     select 1, 'p', '', n::text, 'active', gen_random_uuid(), '' from generate_series(1, 2) n`,
  );
  await db.run("insert into streams (stream, probe_id, up_to) values ('a', 1, 5), ('b', 1, 0), ('c', 2, 7)");
  const asked = ['c', 'b', 'a', 'unknown', 'a'].map((stream) => ({ probeId: 1, stream }));
  expect(await selectDurable(db, asked)).toEqual(
    new Map([
      [
        1,
        [
          { stream: 'a', upTo: 5 },
          { stream: 'b', upTo: 0 },
        ],
      ],
    ]),
  );
  expect(await selectDurable(db, [])).toEqual(new Map());
});
