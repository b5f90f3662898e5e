import { randomBytes } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Bus } from '../../../hub/ingest/bus.ts';
import { createDirectBus } from '../../../hub/ingest/direct-bus.ts';
import type { Outbox } from '../../../probe/deliver/outbox.ts';
import { failure } from '../../../shared/failure.ts';
import { downOf, makeScene, quiet, resultOf, type Scene, type TestProbe } from '../../hub/ingest/scene.ts';
import { until } from '../../hub/ingest/until.ts';
import { type HubScene, hubScene } from './hub-scene.ts';
import { newFolder } from './scene.ts';

let scene: Scene;
let bus: Bus;
let probe: TestProbe;
let hub: HubScene;
let folder: Awaited<ReturnType<typeof newFolder>>;
let outbox: Outbox;

beforeEach(async () => {
  scene = await makeScene();
  probe = await scene.probe('eu-west');
  bus = createDirectBus({ log: quiet });
  await bus.start(scene.ingest.handle);
  hub = await hubScene(scene, probe, bus);
  folder = await newFolder();
});
afterEach(async () => {
  await outbox.stop(AbortSignal.timeout(100));
  await hub.close();
  await bus.stop();
  await scene.end();
  await folder.remove();
});

let added = 0;
async function add(count: number, urgent = false): Promise<void> {
  const all = Array.from({ length: count }, () => {
    added += 1;
    return outbox.add(resultOf(probe, scene.nowUs - added * 1000), urgent);
  });
  await Promise.all(all);
}

const stored = () => scene.count('results');

/** So many rows, and the outbox knows that the hub has all it sent. */
async function allStored(count: number): Promise<void> {
  await until(async () => (await stored()) >= count && (await hub.settled(outbox)), 20_000);
  expect(await stored()).toBe(count);
  expect(await scene.count('rejects')).toBe(0);
}

describe('the outbox and a real hub', () => {
  test('what is acknowledged is stored once, and the spool is told', async () => {
    outbox = await hub.open(folder.path);
    await add(1200);
    await allStored(1200);
    expect(outbox.status()).toMatchObject({ dropped: 0, way: 'relay', trouble: null });
  });

  test('lost answers and refusals for want of room store nothing twice', async () => {
    outbox = await hub.open(folder.path);
    let request = 0;
    hub.answers(() => {
      request += 1;
      return request % 3 === 0 ? 'lose' : request % 3 === 1 ? 503 : 'pass';
    });
    for (let round = 0; round < 20; round += 1) {
      await add(10, true);
      await until(async () => (await stored()) === (round + 1) * 10);
      await hub.lease(outbox);
    }
    await allStored(200);
    expect(request).toBeGreaterThan(10);
  });

  test('a spool filled while the hub was away is delivered after restarts, each result once', async () => {
    outbox = await hub.open(folder.path);
    hub.answers(() => 503);
    await add(700);
    await outbox.stop(AbortSignal.abort());
    outbox = await hub.open(folder.path);
    await add(700);
    await outbox.stop(AbortSignal.abort());
    hub.answers(() => 'lose');
    outbox = await hub.open(folder.path);
    await until(async () => (await stored()) > 0);
    await outbox.stop(AbortSignal.abort());
    hub.answers(() => 'pass');
    outbox = await hub.open(folder.path);
    await add(1);
    await allStored(1401);
    expect(outbox.status().streams).toHaveLength(1);
  });

  test('a hub that lost what it had told was durable gets again what is still here, and a gap record for the rest', async () => {
    // Small segments, and results that compress badly, so that most of what is durable is really deleted.
    outbox = await hub.open(folder.path, { limits: { maxBytes: 512 * 1024 }, timing: { hubLoss: [300, 3] } });
    for (let round = 1; round <= 12; round += 1) {
      const failed = Array.from({ length: 200 }, () => {
        added += 1;
        const message = randomBytes(80).toString('base64');
        const over = { failure: failure('connect.refused', message) };
        return outbox.add(downOf(probe, scene.nowUs - added * 1000, over), false);
      });
      await Promise.all(failed);
      await until(async () => {
        await hub.lease(outbox);
        return (await stored()) === round * 200 && hub.settled(outbox);
      }, 20_000);
    }
    const [stream] = await scene.db.many<{ up_to: number }>('select up_to from streams');
    const lastSeq = stream?.up_to ?? 0;
    await until(async () => {
      await hub.lease(outbox);
      return outbox.status().spoolBytes < 150_000;
    });

    // As the backup had it: two batches, and nothing after.
    await scene.db.run("update streams set up_to = 2, ranges = '{}'");
    await scene.db.run(
      `delete from results where scheduled_at < (select min(scheduled_at) from (
         select scheduled_at from results order by scheduled_at desc limit 400) kept)`,
    );
    const before = await stored();
    // One lease says nothing yet.
    await hub.lease(outbox);
    await add(10);
    await until(async () => (await stored()) === before + 10);
    expect(await scene.db.many('select reason from gaps')).toEqual([]);

    await until(async () => {
      await hub.lease(outbox);
      return hub.settled(outbox);
    }, 20_000);
    const gaps = await scene.db.many<{ from_seq: number; to_seq: number; reason: string }>(
      'select from_seq, to_seq, reason from gaps',
    );
    expect(gaps).toEqual([
      { from_seq: 3, to_seq: expect.any(Number), reason: 'deleted as durable, then lost by the hub' },
    ]);
    const told = (gaps[0]?.to_seq ?? 0) - 2;
    // What the last segment still held came again, and nothing of it twice.
    expect(told).toBeLessThan(lastSeq - 2);
    expect(await stored()).toBeGreaterThan(before + 10);
    expect(await scene.count('rejects')).toBe(0);
    // And it goes on as before.
    const now = await stored();
    await add(50);
    await until(async () => {
      await hub.lease(outbox);
      return (await stored()) === now + 50 && (await hub.settled(outbox));
    }, 20_000);
    await outbox.stop(AbortSignal.abort());
    outbox = await hub.open(folder.path);
    expect(await hub.settled(outbox)).toBe(true);
    expect(await scene.db.many("select stream from streams where ranges <> '{}'")).toEqual([]);
  });
});
