import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Bus, IncomingBatch } from '../../../hub/ingest/bus.ts';
import { StoreUnavailable } from '../../../hub/ingest/trouble.ts';
import type { SealedBatch } from '../../../shared/batch.ts';
import { batchOf, makeScene, newStream, resultOf, type Scene, seal, type TestProbe } from './scene.ts';
import { until } from './until.ts';

const signal = () => AbortSignal.timeout(20_000);

/** What holds for every bus. `make` gives one that waits 50 ms at first, 200 ms at most, when ingest is away. */
export function busSuite(make: (scene: Scene) => Promise<Bus>): void {
  let scene: Scene;
  let bus: Bus;
  let probe: TestProbe;
  beforeEach(async () => {
    scene = await makeScene();
    bus = await make(scene);
    probe = await scene.probe('eu-west');
  });
  afterEach(async () => {
    await bus.stop();
    await scene.end();
  });

  function batches(count: number, stream = newStream(), endpoint = 1): SealedBatch[] {
    return Array.from({ length: count }, (_, index) =>
      seal(
        probe,
        batchOf(probe, {
          stream,
          seq: index + 1,
          results: [resultOf(probe, scene.nowUs - index * 1_000_000, { endpointId: endpoint })],
        }),
      ),
    );
  }

  async function publishAll(sealed: readonly SealedBatch[]): Promise<void> {
    for (const batch of sealed) await bus.publish(batch, signal());
  }

  const ready = () => until(() => bus.status().ready, 30_000);

  describe('a batch', () => {
    test('is handed over byte for byte, once', async () => {
      const seen: IncomingBatch[] = [];
      await bus.start(async (handed) => {
        seen.push(...handed);
        for (const { position } of handed) if (position) await scene.advance(position);
      });
      await ready();
      const sent = batches(3);
      await publishAll(sent);
      await until(() => seen.length >= 3);
      await new Promise((resolve) => setTimeout(resolve, 300));
      expect(seen).toHaveLength(3);
      for (const [index, batch] of sent.entries()) {
        expect(seen[index]?.key).toBe(batch.key);
        expect(Buffer.from(seen[index]?.value ?? []).equals(batch.value)).toBe(true);
        expect(Buffer.from(seen[index]?.headers.sig ?? []).equals(batch.headers.sig)).toBe(true);
        expect(seen[index]?.headers).toMatchObject({ kid: probe.kid, schema: batch.headers.schema });
      }
    });

    test('travels through ingest into the database, from many at once, each exactly once', async () => {
      await bus.start(scene.ingest.handle);
      await ready();
      const streams = Array.from({ length: 8 }, (_, index) => batches(10, newStream(), index + 1));
      await Promise.all(streams.map(publishAll));
      await until(async () => (await scene.count('results')) === 80, 20_000);
      expect(await scene.db.many('select up_to, ranges::text from streams')).toEqual(
        Array.from({ length: 8 }, () => ({ up_to: 10, ranges: '{}' })),
      );
      expect(await scene.count('rejects')).toBe(0);
    });

    test('that came twice is stored once', async () => {
      await bus.start(scene.ingest.handle);
      await ready();
      const sent = batches(3);
      await publishAll([...sent, ...sent]);
      await publishAll(batches(1, newStream(), 2));
      await until(async () => (await scene.count('results')) === 4);
      await until(async () => (await scene.count('streams')) === 2);
      expect(await scene.count('rejects')).toBe(0);
    });
  });

  describe('while ingest cannot store', () => {
    test('it says so, keeps what it took, and goes on by itself', async () => {
      let away = true;
      let tries = 0;
      await bus.start(async (handed, abort) => {
        tries += 1;
        if (away) throw new StoreUnavailable(new Error('the database is being moved'));
        await scene.ingest.handle(handed, abort);
      });
      if (bus.status().kind === 'kafka') await ready();
      await bus.publish(batches(1)[0] as SealedBatch, signal());
      await until(() => !bus.status().ready && tries > 1, 20_000);
      expect(bus.status().reason).toMatch(/the database is being moved/);
      away = false;
      await until(async () => (await scene.count('results')) === 1, 20_000);
      await ready();
    });

    test('an error of ingest itself is no reason to lose a batch', async () => {
      let failures = 0;
      await bus.start(async (handed, abort) => {
        failures += 1;
        if (failures <= 2) throw new Error('a bug');
        await scene.ingest.handle(handed, abort);
      });
      await ready();
      await bus.publish(batches(1)[0] as SealedBatch, signal());
      await until(async () => (await scene.count('results')) === 1, 20_000);
    });
  });

  test('a batch that no database takes goes to the rejects, the ones around it are stored', async () => {
    await bus.start(scene.ingest.handle);
    await ready();
    // A constraint the verifier knows nothing of.
    await scene.db.run('alter table results add check (redirects <> 77)');
    const stream = newStream();
    const sent = Array.from({ length: 9 }, (_, index) =>
      seal(
        probe,
        batchOf(probe, {
          stream,
          seq: index + 1,
          results: [
            resultOf(probe, scene.nowUs - index * 1_000_000, { redirects: index === 4 ? 77 : 0 }),
            resultOf(probe, scene.nowUs - index * 1_000_000, { endpointId: 2 }),
          ],
        }),
      ),
    );
    await publishAll(sent);
    await until(async () => (await scene.count('results')) === 16, 20_000);
    expect(await scene.db.many('select reason, stream, seq, content from rejects')).toEqual([
      { reason: 'poison', stream, seq: 5, content: Buffer.from((sent[4] as SealedBatch).value) },
    ]);
    expect(await scene.db.many('select up_to from streams')).toEqual([{ up_to: 9 }]);
  });

  test('stopped, it finishes what is in hand and takes no more', async () => {
    await bus.start(scene.ingest.handle);
    await ready();
    const sent = batches(5);
    await publishAll(sent);
    await bus.stop();
    if (bus.status().kind === 'direct') expect(await scene.count('results')).toBe(5);
    await expect(bus.publish(batches(1)[0] as SealedBatch, signal())).rejects.toMatchObject({
      status: 503,
      code: 'bus.unavailable',
      headers: { 'retry-after': expect.stringMatching(/^\d+$/) },
    });
    expect(bus.status().ready).toBe(false);
  });
}
