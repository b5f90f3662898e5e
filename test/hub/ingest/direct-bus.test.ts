import { describe, expect, test } from 'vitest';
import { createDirectBus } from '../../../hub/ingest/direct-bus.ts';
import { StoreUnavailable } from '../../../hub/ingest/trouble.ts';
import { busSuite } from './bus-suite.ts';
import { quiet } from './scene.ts';
import { until } from './until.ts';

describe('the direct bus', () => {
  busSuite(async () => createDirectBus({ log: quiet, retryMs: [50, 200] }));
});

const batch = (bytes: number, kid = 'k') => ({
  key: 'a'.repeat(32),
  value: new Uint8Array(bytes),
  headers: { kid, sig: new Uint8Array(64), schema: '1' },
});

describe('the queue of the direct bus', () => {
  test.each([
    // One is already in ingest's hands.
    ['batches', { maxBatches: 10 }, 1, 11],
    ['bytes', { maxBytes: 10_000 }, 1000, 10],
  ])('is bounded in %s, and empties by itself', async (_, bounds, size, most) => {
    const bus = createDirectBus({ log: quiet, window: 1, ...bounds });
    const { promise: gate, resolve: open } = Promise.withResolvers<void>();
    await bus.start(() => gate);
    let taken = 0;
    let refused = 0;
    for (let count = 0; count < 50; count += 1) {
      await bus.publish(batch(size, `k${count % 8}`), AbortSignal.timeout(1000)).then(
        () => (taken += 1),
        () => (refused += 1),
      );
    }
    expect([taken, refused]).toEqual([most, 50 - most]);
    open();
    await until(() => bus.status().ready);
    await bus.publish(batch(size), AbortSignal.timeout(1000));
    await bus.stop();
  });

  test('gives no probe more than a quarter of its room, and each its turn', async () => {
    const bus = createDirectBus({ log: quiet, window: 1, maxBatches: 100 });
    const { promise: gate, resolve: open } = Promise.withResolvers<void>();
    const order: string[] = [];
    await bus.start(async ([one]) => {
      await gate;
      order.push(one?.headers.kid ?? '');
    });
    const publish = (kid: string) =>
      bus.publish(batch(10, kid), AbortSignal.timeout(1000)).then(
        () => 1,
        () => 0,
      );
    const taken = await Promise.all(Array.from({ length: 60 }, () => publish('liar')));
    // One is in ingest's hands.
    expect(taken.reduce((sum: number, one) => sum + one, 0)).toBe(26);
    expect(await Promise.all([publish('honest'), publish('honest')])).toEqual([1, 1]);
    open();
    await until(() => order.length === 28);
    expect(order.indexOf('honest')).toBeLessThan(3);
    expect(order.lastIndexOf('honest')).toBeLessThan(6);
    await bus.stop();
  });

  test('takes nothing while the database is away, so that the probes keep what they have', async () => {
    const bus = createDirectBus({ log: quiet, retryMs: [20, 20] });
    let away = true;
    await bus.start(async () => {
      if (away) throw new StoreUnavailable(new Error('away'));
    });
    await bus.publish(batch(1), AbortSignal.timeout(1000));
    await until(() => !bus.status().ready);
    await expect(bus.publish(batch(1), AbortSignal.timeout(1000))).rejects.toMatchObject({ status: 503 });
    away = false;
    await until(() => bus.status().ready);
    await bus.stop();
  });

  test('stops in time although the database never comes back', async () => {
    const bus = createDirectBus({ log: quiet, retryMs: [20, 20], drainMs: 100 });
    await bus.start(async () => {
      throw new StoreUnavailable(new Error('away'));
    });
    await bus.publish(batch(1), AbortSignal.timeout(1000));
    const began = performance.now();
    await bus.stop();
    expect(performance.now() - began).toBeLessThan(1000);
  });
});

test('does nothing more after its stop, also where the last try ends later', async () => {
  const bus = createDirectBus({ log: quiet, retryMs: [20, 20], drainMs: 50 });
  const { promise: gate, reject: fail } = Promise.withResolvers<void>();
  let handed = 0;
  await bus.start(async () => {
    handed += 1;
    // As ingest does: its query ends when it ends.
    await gate;
  });
  await bus.publish(batch(1), AbortSignal.timeout(1000));
  await bus.stop();
  fail(new StoreUnavailable(new Error('away')));
  await new Promise((resolve) => setTimeout(resolve, 100));
  expect(handed).toBe(1);
});
