import { afterEach, beforeEach, expect, test } from 'vitest';
import type { IncomingBatch } from '../../../hub/ingest/bus.ts';
import { createIngest, type Ingest } from '../../../hub/ingest/ingest.ts';
import { type Keeper, startKeeper } from '../../../hub/store/keeper.ts';
import { dayUs } from '../../../hub/store/partition-plan.ts';
import type { Result } from '../../../shared/result.ts';
import { batchOf, makeScene, newStream, quiet, resultOf, type Scene, seal, type TestProbe } from './scene.ts';

let scene: Scene;
let probe: TestProbe;
let replicas: Replica[];
const { signal } = new AbortController();

/** A replica of its own on the scene's database: its keeper, its clock, its ingest. */
interface Replica {
  readonly keeper: Keeper;
  readonly ingest: Ingest;
}

async function replica(clock: () => number, retentionDays = 7): Promise<Replica> {
  const keeper = await startKeeper({
    db: scene.db,
    log: quiet,
    now: clock,
    databaseNow: async () => clock(),
    policy: () => ({ width: 'day', retentionDays }),
  });
  const { db, registry } = scene;
  const ingest = createIngest({ db, registry, keeper, log: quiet, now: clock, maxRows: 5000, maxMs: 5 });
  const made = { keeper, ingest };
  replicas.push(made);
  return made;
}

const send = (stream: string, seq: number, results: readonly Result[]): IncomingBatch => ({
  ...seal(probe, batchOf(probe, { stream, seq, results })),
  position: null,
});
const rejects = () => scene.db.many('select reason, detail, seq from rejects order by id');
const streamOf = (stream: string) =>
  scene.db.one('select up_to, ranges::text from streams where stream = $1', [stream]);

beforeEach(async () => {
  scene = await makeScene();
  probe = await scene.probe('eu-west');
  replicas = [];
});
afterEach(async () => {
  for (const { keeper } of replicas) await keeper.stop();
  await scene.end();
});

test('a replica that does not know yet what another has dropped refuses what is late, and stores the rest', async () => {
  let laterUs = 0;
  const behind = await replica(() => scene.nowUs);
  const ahead = await replica(() => scene.nowUs + laterUs);
  const lateUs = scene.nowUs - 6 * dayUs;
  expect(behind.keeper.hasPartition(lateUs)).toBe(true);
  laterUs = 3 * dayUs;
  await ahead.keeper.tend();
  // The first still offers the partition that is gone.
  expect(behind.keeper.hasPartition(lateUs)).toBe(true);
  expect(behind.keeper.sealedUntilUs()).toBeLessThan(lateUs);

  const stream = newStream();
  const other = newStream();
  await behind.ingest.handle(
    [
      send(stream, 1, [resultOf(probe, lateUs), resultOf(probe, scene.nowUs)]),
      send(stream, 2, [resultOf(probe, scene.nowUs, { endpointId: 2 })]),
      send(other, 1, [resultOf(probe, scene.nowUs, { endpointId: 3 })]),
    ],
    signal,
  );

  const until = new Date(ahead.keeper.sealedUntilUs() / 1000).toISOString();
  expect(await rejects()).toEqual([
    {
      reason: 'too_late',
      seq: 1,
      detail: expect.stringContaining(`before ${until} is past retention and sealed`),
    },
  ]);
  expect(await scene.count('results')).toBe(3);
  expect(await streamOf(stream)).toEqual({ up_to: 2, ranges: '{}' });
  expect(behind.keeper.sealedUntilUs()).toBe(ahead.keeper.sealedUntilUs());
  // From now on it knows by itself, and so does a replica whose own retention is longer.
  const long = await replica(() => scene.nowUs, 30);
  for (const [seq, { ingest }] of [behind, long].entries()) {
    await ingest.handle([send(stream, seq + 3, [resultOf(probe, lateUs)])], signal);
  }
  expect((await rejects()).map((row) => (row as { reason: string }).reason)).toEqual(
    Array(3).fill('too_late'),
  );
  expect(await streamOf(stream)).toEqual({ up_to: 4, ranges: '{}' });
});

test('to the microsecond: what is due at the seal is stored, what is due before it is not', async () => {
  const { keeper, ingest } = await replica(() => scene.nowUs);
  const atUs = keeper.sealedUntilUs();
  await ingest.handle([send(newStream(), 1, [resultOf(probe, atUs), resultOf(probe, atUs - 1)])], signal);
  expect(await scene.count('results')).toBe(1);
  expect(await rejects()).toMatchObject([{ reason: 'too_late' }]);
});

test('partitions that somebody dropped by hand cost a look, no endless try: what was theirs is refused', async () => {
  const { keeper, ingest } = await replica(() => scene.nowUs);
  const atUs = scene.nowUs - 2 * dayUs;
  const day = new Date(atUs / 1000).toISOString().slice(0, 10).replaceAll('-', '');
  await scene.db.run(`drop table results_${day}`);
  expect(keeper.hasPartition(atUs)).toBe(true);
  const stream = newStream();
  await ingest.handle([send(stream, 1, [resultOf(probe, atUs), resultOf(probe, scene.nowUs)])], signal);
  expect(await rejects()).toMatchObject([{ reason: 'no_partition' }]);
  expect(await scene.count('results')).toBe(1);
  expect(await streamOf(stream)).toEqual({ up_to: 1, ranges: '{}' });
});

test('results flow on while the days ahead become hours and old ones are dropped', async () => {
  let laterUs = 0;
  let width: 'day' | 'hour' = 'day';
  const keeper = await startKeeper({
    db: scene.db,
    log: quiet,
    now: () => scene.nowUs + laterUs,
    databaseNow: async () => scene.nowUs + laterUs,
    policy: () => ({ width, retentionDays: 7 }),
  });
  const { ingest } = await replica(() => scene.nowUs);
  replicas.push({ keeper, ingest });
  let stopped = false;
  let sent = 0;
  const stream = newStream();
  const sending = (async () => {
    while (!stopped) {
      const results = Array.from({ length: 20 }, (_, index) =>
        resultOf(probe, scene.nowUs - sent * 1000, { endpointId: index + 1 }),
      );
      sent += 1;
      await ingest.handle([send(stream, sent, results)], signal);
    }
  })();
  for (const next of [
    () => (width = 'hour'),
    () => (laterUs = dayUs),
    () => (laterUs = 2 * dayUs),
    () => (width = 'day'),
    () => (laterUs = 4 * dayUs),
  ]) {
    next();
    await keeper.tend();
  }
  stopped = true;
  await sending;
  expect(sent).toBeGreaterThan(5);
  expect(await rejects()).toEqual([]);
  expect(await scene.count('results')).toBe(sent * 20);
  expect(await streamOf(stream)).toEqual({ up_to: sent, ranges: '{}' });
});
