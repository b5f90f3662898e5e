import { afterEach, expect, test } from 'vitest';
import { createDecodedRoom } from '../../../hub/ingest/decoded-room.ts';
import { batchOf, makeScene, newStream, resultOf, type Scene, seal, type TestProbe } from './scene.ts';
import { until } from './until.ts';

const patience = new AbortController().signal;

test('who comes when it is full waits until there is room, in no other order than theirs', async () => {
  const room = createDecodedRoom(100);
  await room.free(patience);
  room.take(150);
  const came: number[] = [];
  const [first, second] = [1, 2].map((n) => room.free(patience).then(() => came.push(n)));
  await new Promise(setImmediate);
  expect(came).toEqual([]);
  room.leave(60);
  await Promise.all([first, second]);
  expect(came).toEqual([1, 2]);
});

test('who waits for room goes with an abort', async () => {
  const room = createDecodedRoom(1);
  room.take(1);
  const stopping = new AbortController();
  const waiting = room.free(stopping.signal);
  stopping.abort(new Error('stopped'));
  await expect(waiting).rejects.toThrow('stopped');
});

let scene: Scene;
afterEach(() => scene?.end());

/** A few thousand bytes that hold a megabyte. */
function wide(probe: TestProbe, stream: string, seq: number) {
  const results = Array.from({ length: 500 }, (_, n) => ({
    ...resultOf(probe, scene.nowUs - seq * 1000 - n),
    httpVersion: `${seq}${'x'.repeat(2000)}`,
  }));
  return { ...seal(probe, batchOf(probe, { stream, seq, results })), position: null };
}

test('while nothing can be stored, what waits decoded is bounded, whoever signed it; then all of it goes on', async () => {
  let verified = 0;
  scene = await makeScene({
    brake: { burstUs: Number.MAX_SAFE_INTEGER },
    keeper: {
      hasPartition: () => true,
      sealedUntilUs: () => {
        verified += 1;
        return 0;
      },
      look: async () => undefined,
      tend: async () => undefined,
    },
  });
  const probe = await scene.probe('eu-west');
  const [partitions, each] = [8, 25];
  const streams = Array.from({ length: partitions }, newStream);
  const batches = streams.map((stream) => Array.from({ length: each }, (_, n) => wide(probe, stream, n + 1)));
  const bytes = batches.flat().reduce((sum, { value }) => sum + value.length, 0);
  expect(bytes).toBeLessThan(4_000_000);
  let handling: Promise<unknown> = Promise.resolve();
  await scene.db.transaction(async (sql) => {
    await sql.run('lock table streams in exclusive mode');
    handling = Promise.all(batches.map((some) => scene.ingest.handle(some, AbortSignal.timeout(60_000))));
    let before = -1;
    await until(async () => {
      const stands = verified > 0 && verified === before;
      before = verified;
      if (!stands) await new Promise((resolve) => setTimeout(resolve, 500));
      return stands;
    }, 30_000);
    // Each holds a megabyte, and there is room for 64; each of those who hand over may have one more in hand.
    expect(verified).toBeGreaterThan(partitions);
    expect(verified).toBeLessThanOrEqual(70 + partitions);
  });
  await handling;
  expect(verified).toBe(partitions * each);
  const { received } = await scene.db.one<{ received: number }>(
    'select sum(up_to)::int8 as received from streams',
  );
  expect(received).toBe(partitions * each);
}, 120_000);
