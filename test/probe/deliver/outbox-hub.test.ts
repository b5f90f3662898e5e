import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Bus } from '../../../hub/ingest/bus.ts';
import { createDirectBus } from '../../../hub/ingest/direct-bus.ts';
import type { Outbox } from '../../../probe/deliver/outbox.ts';
import { makeScene, quiet, resultOf, type Scene, type TestProbe } from '../../hub/ingest/scene.ts';
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
});
