import { setTimeout as wait } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { insertResults } from '../../hub/store/insert-results.ts';
import { upsertLatestResults } from '../../hub/store/upsert-latest-results.ts';
import type { Result } from '../../shared/result.ts';
import { resultKey } from '../flow/spool-witness.ts';
import { makeScene, resultOf, type Scene, type TestProbe } from '../hub/ingest/scene.ts';
import { type Allowed, type Checker, createChecker } from './check.ts';
import type { KafkaLog, Signed } from './kafka-log.ts';
import type { TooDurable } from './lease-witness.ts';
import type { ChaosNetwork } from './network.ts';
import { saidOf } from './said.ts';
import type { Acknowledged } from './spools.ts';

let scene: Scene;
let probe: TestProbe;
let other: TestProbe;
let liar: TestProbe;
let endpoint = 0;
beforeAll(async () => {
  scene = await makeScene();
  probe = await scene.probe('a');
  other = await scene.probe('b');
  liar = await scene.probe('b');
});
afterAll(() => scene?.end());

const stream = '00112233445566778899aabbccddeeff';

/** What a network of ours would show, made by hand. */
interface World {
  readonly acknowledged: Map<string, Acknowledged>;
  readonly signed: Map<string, Signed>;
  readonly lies: Set<string>;
  readonly told: Map<string, number>;
  readonly lieKinds: Map<string, number>;
  tooDurable: TooDurable[];
  trespasses: number;
  readonly asked: Map<string, number>;
  leasedUntilS: number;
}
let world: World;
let checker: Checker;

let checkerWith: (patienceMs: number) => ReturnType<typeof createChecker>;

beforeEach(async () => {
  endpoint += 1;
  await scene.db.run('truncate results, latest_results, gaps, rejects, reject_counts, audit_log');
  world = {
    acknowledged: new Map(),
    signed: new Map(),
    lies: new Set(),
    told: new Map(),
    lieKinds: new Map(),
    tooDurable: [],
    trespasses: 0,
    asked: new Map(),
    leasedUntilS: Date.now() / 1000 + 60,
  };
  const network: Pick<ChaosNetwork, 'db'> & Record<string, unknown> = {
    db: () => scene.db,
    spools: {
      read: async () => world.acknowledged,
      settle: async (us: number) => {
        for (const [key, { scheduledAt }] of world.acknowledged)
          if (scheduledAt < us) world.acknowledged.delete(key);
      },
    },
    leases: {
      takeTooDurable: () => world.tooDurable,
      told: () => world.told,
      leasedUntil: () => world.leasedUntilS,
      seen: () => 1,
      settle: () => undefined,
    },
    liar: { probeId: liar.id, lies: world.lies, told: world.lieKinds },
    targets: { trespasses: () => world.trespasses, asked: world.asked },
  };
  const log: Pick<KafkaLog, 'read' | 'settle' | 'counts'> = {
    counts: () => ({ messages: 0, unsigned: 0, missed: 0 }),
    read: async () => world.signed,
    settle: (us) => {
      for (const [key, { scheduledAt }] of world.signed) if (scheduledAt < us) world.signed.delete(key);
    },
  };
  checkerWith = (patienceMs) =>
    createChecker(network as unknown as ChaosNetwork, log as KafkaLog, patienceMs);
  // Nothing comes by itself here.
  checker = checkerWith(0);
});

interface One {
  readonly at?: number;
  readonly by?: TestProbe;
  readonly regionId?: number;
  readonly seq?: number;
  readonly spooled?: boolean;
  readonly signed?: boolean;
  readonly stored?: boolean;
  readonly status?: number;
  /** What of it is stored otherwise than it was signed. */
  readonly over?: Partial<Result>;
}

let slots = 0;

/** One result on its way, as far as it came. */
async function result(one: One = {}): Promise<string> {
  const { by = probe, seq = 1, spooled = true, signed = true, stored = true } = one;
  slots += 1;
  const scheduledAt = one.at ?? scene.nowUs - 60_000_000 + slots;
  const says = { endpointId: endpoint, status: one.status ?? null };
  const key = resultKey({ endpointId: endpoint, regionId: by.regionId, scheduledAt, probeId: by.id });
  if (spooled) world.acknowledged.set(key, { key, stream, seq, scheduledAt });
  if (signed) {
    world.signed.set(key, {
      regionId: by.regionId,
      probeId: by.id,
      scheduledAt,
      startedAt: scheduledAt,
      said: new Set([saidOf(resultOf(by, scheduledAt, says))]),
    });
  }
  if (stored) {
    const row = {
      regionId: one.regionId ?? by.regionId,
      result: resultOf(by, scheduledAt, { ...says, ...one.over }),
    };
    await insertResults(scene.db, [row]);
    await scene.db.transaction((sql) => upsertLatestResults(sql, [row]));
  }
  return key;
}

const allowed = (over: Partial<Allowed> = {}): Allowed => ({
  destroyed: new Set(),
  toBeTold: new Set(),
  mayReject: [],
  databaseWentBack: false,
  untilMs: Date.now(),
  ...over,
});

async function found(over: Partial<Allowed> = {}): Promise<string[]> {
  const { violations } = await checker.check(allowed(over));
  return violations.map(({ invariant, what }) => `${invariant}: ${what}`);
}

async function reject(reason: string, by: TestProbe, seq: number): Promise<void> {
  await scene.db.run(
    `insert into rejects (reason, detail, probe_id, stream, seq) values ($1::text, 'why', $2::int8, $3::text, $4::int8)`,
    [reason, by.id, stream, seq],
  );
  await scene.db.run(
    `insert into reject_counts (hour, reason, probe_id, count)
     values (date_trunc('hour', now()), $1::text, $2::int8, 1)
     on conflict (hour, reason, probe_id) do update set count = reject_counts.count + 1`,
    [reason, by.id],
  );
}

test('a network in which all is well', async () => {
  await result();
  await result({ by: other });
  expect(await found()).toEqual([]);
  expect((await checker.check(allowed())).counts).toMatchObject({
    acknowledged: 2,
    stored: 2,
    lost: 0,
    forged: 0,
  });
});

test('an acknowledged result that is nowhere', async () => {
  await result();
  const lost = await result({ stored: false });
  const { violations } = await checker.check(allowed());
  expect(violations).toMatchObject([
    { invariant: '1 exactly once', evidence: [expect.stringContaining(lost)] },
  ]);
});

test('what comes to the table a moment after the rest is not lost', async () => {
  const at = scene.nowUs - 50_000_000;
  await result({ at, stored: false });
  const finding = checkerWith(10_000).check(allowed());
  await wait(700);
  await result({ at, spooled: false, signed: false });
  expect((await finding).violations).toEqual([]);
});

test('what is on its way when the fault heals is not lost yet', async () => {
  await result({ stored: false, signed: false });
  expect(await found({ untilMs: scene.nowUs / 1000 - 70_000 })).toEqual([]);
});

test('a gap record speaks for its batches, and for no others', async () => {
  await result({ stored: false, seq: 3 });
  await scene.db.run(
    `insert into gaps (stream, seq, probe_id, from_seq, to_seq, results, from_scheduled_at, to_scheduled_at, reason)
     values ($1::text, 9, $2::int8, 2, 4, 1, now(), now(), 'damaged')`,
    [stream, probe.id],
  );
  expect(await found()).toEqual([]);
  await result({ stored: false, seq: 5 });
  expect(await found()).toEqual(['1 exactly once: 1 acknowledged results are nowhere']);
});

test('a refused batch of an honest probe is accounted for, and is not to happen', async () => {
  await result({ stored: false, seq: 7 });
  await reject('too_large', probe, 7);
  const refused = [
    expect.stringMatching(/^1 exactly once: honest probes were refused: 1 too_large of probe-/),
  ];
  expect(await found()).toEqual(refused);
  expect(await found({ mayReject: [{ probe: null, reason: 'future', healedMs: 1 }] })).toEqual(refused);
  expect(await found({ mayReject: [{ probe: null, reason: 'too_large', healedMs: 1 }] })).toEqual([]);
});

test('a result that came twice', async () => {
  await result();
  await reject('duplicate_slot', probe, 1);
  const { violations, counts } = await checker.check(allowed());
  expect(violations).toHaveLength(1);
  expect(counts.doubled).toBe(1);
});

test('a duplicate is excused for the probe whose spool was spoilt, until that round is settled', async () => {
  // In a scene they all have the same.
  await scene.db.run("update probes set name = 'p' || id");
  const nameOf = ({ id }: TestProbe) => `probe-p${id}`;
  const healedMs = scene.nowUs / 1000 - 30_000;
  const excuse = { mayReject: [{ probe: nameOf(probe), reason: 'duplicate_slot', healedMs }] };
  await result();
  await reject('duplicate_slot', probe, 1);
  expect(await found(excuse)).toEqual([]);
  expect((await checker.check(allowed())).counts).toMatchObject({ doubled: 0, 'duplicates excused': 1 });
  // What was excused stays so; another's is not.
  expect(await found()).toEqual([]);
  await reject('duplicate_slot', other, 1);
  const doubled = [
    expect.stringMatching(/^1 exactly once: honest probes were refused: 1 duplicate_slot of /),
  ];
  expect(await found(excuse)).toEqual(doubled);
  expect(await found({ mayReject: [{ probe: nameOf(other), reason: 'duplicate_slot', healedMs }] })).toEqual(
    [],
  );

  await checker.settle(healedMs + 1);
  await reject('duplicate_slot', probe, 2);
  expect(await found(excuse)).toEqual(doubled);
});

test('what was destroyed must be told where the probe can see that it is gone', async () => {
  const unseen = await result({ stored: false, signed: false, seq: 3 });
  const seen = await result({ stored: false, signed: false, seq: 2 });
  const over = { destroyed: new Set([unseen, seen]) };
  expect(await found(over)).toEqual([]);
  expect((await checker.check(allowed(over))).counts).toMatchObject({ 'destroyed without a word': 2 });
  const told = { ...over, toBeTold: new Set([seen]) };
  expect(await found(told)).toEqual([
    '1 exactly once: 1 results were destroyed, and no gap record tells of them',
  ]);
  await scene.db.run(
    `insert into gaps (stream, seq, probe_id, from_seq, to_seq, results, from_scheduled_at, to_scheduled_at, reason)
     values ($1::text, 9, $2::int8, 2, 2, 1, now(), now(), 'spool damaged')`,
    [stream, probe.id],
  );
  expect(await found(told)).toEqual([]);
});

test('what the liar is refused is as it should be', async () => {
  await reject('future', liar, 1);
  expect(await found()).toEqual([]);
});

test.each<[string, One, string]>([
  ['that nobody signed', { signed: false }, '3 region: 1 rows that nobody signed for that region and probe'],
  ['that was in no spool', { spooled: false }, '3 region: rows that are signed, and were in no spool'],
])('a row %s', async (_, one, what) => {
  await result();
  await result(one);
  expect(await found()).toEqual([what]);
});

test("a row under another region than the key's", async () => {
  await result({ regionId: other.regionId });
  expect(await found()).toEqual([
    '1 exactly once: 1 acknowledged results are nowhere',
    '3 region: 1 rows that nobody signed for that region and probe',
    "3 region: rows under another region than their probe's",
  ]);
});

test('a lie that nobody refused', async () => {
  world.lieKinds.set('future', 2);
  await reject('future', liar, 1);
  expect(await found()).toEqual(['1 exactly once: 2 lies were sent, and only 1 are counted as refused']);
  await reject('bad_signature', probe, 1);
  expect(await found()).toEqual([]);
});

test('a lie that was stored', async () => {
  world.lies.add(await result());
  expect(await found()).toEqual(['3 region: lies were stored']);
});

test.each([
  ['ok', 200, 1, []],
  ['ok', 200, 0, ['1 exactly once: more answers are stored than targets gave']],
  ['failing', 503, 1, []],
  ['failing', 200, 1, ['3 region: answers are stored that the target never gives']],
  ['ok', 503, 1, ['3 region: answers are stored that the target never gives']],
])('%s: a row with status %i of a target that was asked %i times', async (kind, status, asked, what) => {
  await result({ status });
  const path = `/${kind}/${endpoint}`;
  await scene.db.run(
    `insert into endpoints (id, name, rev, spec, sealed, source, changed_at, mac) overriding system value
     values ($1::int8, $2::text, 1, jsonb_build_object('url', 'http://127.0.0.1:1' || $3::text), '{}', 'test', now(), '')`,
    [endpoint, `${kind}-${endpoint}`, path],
  );
  world.asked.set(path, asked);
  expect(await found()).toEqual(what);
});

test.each<[string, Partial<Result>]>([
  ['another outcome', { outcome: 'degraded' }],
  [
    'another time',
    { timings: { dns: 1000, connect: 2000, tls: 3000, wait: 4000, transfer: 501, total: 10_500 } },
  ],
  ['another address', { remoteIp: null }],
])('a row with %s than was signed', async (_, over) => {
  await result();
  expect(await found()).toEqual([]);
  await result({ over });
  expect(await found()).toEqual(['3 region: 1 rows say what nobody signed']);
});

test('a pair whose newest result is not the newest', async () => {
  await result();
  await result({ at: scene.nowUs - 30_000_000 });
  expect(await found()).toEqual([]);
  await scene.db.run("update latest_results set scheduled_at = scheduled_at - interval '1 s'");
  expect(await found()).toEqual(['1 exactly once: 1 pairs whose newest is another']);
});

test('what a fault destroyed, and was in the log by then, is not excused unless the log lost it too', async () => {
  const key = await result({ stored: false });
  const over = { destroyed: new Set([key]) };
  expect(await found(over)).toEqual(['1 exactly once: 1 acknowledged results are nowhere']);
  await scene.db.run(
    "insert into audit_log (actor, action, subject) values ('hub:ingest', 'alarm.log_dropped', 'topic')",
  );
  expect(await found(over)).toEqual([]);
});

test('a connection to where nobody may go', async () => {
  world.trespasses = 1;
  expect(await found()).toEqual(['4 policy: 1 connections to a forbidden address']);
});

test('a check after the end of its lease', async () => {
  await result();
  world.leasedUntilS = scene.nowUs / 1_000_000 - 120;
  expect(await found()).toEqual(['5 lease: 1 checks ran under no lease']);
});

test("a check of another region's endpoint, signed but not stored", async () => {
  await scene.db.run(
    `insert into endpoints (id, name, rev, spec, sealed, source, changed_at, mac) overriding system value
     values ($1::int8, 'only-b-1', 1, '{}', '{}', 'test', now(), '')`,
    [endpoint],
  );
  await result({ by: other });
  expect(await found()).toEqual([]);
  await result({ stored: false, spooled: false });
  expect(await found()).toEqual(['5 lease: 1 checks of endpoints that another region has']);
});

test('what a revoked probe checks afterwards', async () => {
  const gone = await scene.probe('a');
  await result({ by: gone, at: scene.nowUs - 60_000_000 });
  await scene.db.run(
    `update probes set status = 'revoked', revoked_at = to_timestamp($1::float8 / 1000) where id = $2::int8`,
    [scene.nowUs / 1000 - 40_000, gone.id],
  );
  expect(await found()).toEqual([]);
  await result({ by: gone, at: scene.nowUs - 20_000_000 });
  expect(await found()).toEqual(['5 lease: 1 results of revoked probes were stored']);
});

test('durable that ran ahead of what was committed', async () => {
  await result();
  world.tooDurable = [{ atMs: Date.now(), stream, told: 5, committed: 4 }];
  expect(await found()).toEqual(['6 durable: 1 leases told more than was committed']);
  expect(await found({ databaseWentBack: true })).toEqual([]);
});

test('durable over a hole', async () => {
  await result({ stored: false, seq: 2 });
  world.told.set(stream, 3);
  expect(await found()).toContain('6 durable: 1 results are durable and nowhere');
});

test('what is settled is only counted: it may neither go nor come', async () => {
  const settledAt = scene.nowUs - 30_000_000;
  const key = await result({ at: settledAt - 5 });
  await result({ at: settledAt + 5 });
  expect(await found()).toEqual([]);
  await checker.settle(settledAt / 1000);
  expect([world.acknowledged.has(key), world.acknowledged.size]).toEqual([false, 1]);
  expect(await found()).toEqual([]);
  expect((await checker.check(allowed())).counts).toMatchObject({ acknowledged: 2, stored: 2 });

  // A spool that came back with what is long stored.
  await result({ at: settledAt - 5, stored: false });
  expect(await found()).toEqual([]);
  await checker.settle(settledAt / 1000);
  world.acknowledged.delete(key);

  await result({ at: settledAt - 9, spooled: false });
  expect(await found()).toEqual(['3 region: 1 rows came into a time that was settled']);
  await scene.db.run(`delete from results where scheduled_at < to_timestamp($1::float8 / 1000000)`, [
    settledAt,
  ]);
  expect(await found()).toEqual(['1 exactly once: 1 rows that were stored are gone']);
  expect((await checker.look()).vanished).toBe(1);
});
