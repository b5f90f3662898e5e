import { getEventListeners } from 'node:events';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createBrake } from '../../../hub/ingest/brake.ts';
import { createDecodedRoom } from '../../../hub/ingest/decoded-room.ts';
import { createRejectRoom } from '../../../hub/ingest/reject-room.ts';
import { createSecondLook } from '../../../hub/ingest/second-look.ts';
import { createSeqMemory } from '../../../hub/ingest/seq-memory.ts';

describe('the brake', () => {
  const budget = { refillUs: 1000, burstUs: 10_000 };

  test('holds who wasted more than the burst, lets go with room for a while, and charges nobody else', () => {
    const brake = createBrake(budget);
    expect(brake.holds(1, 0)).toBe(false);
    brake.charge(1, 9999);
    expect(brake.holds(1, 0)).toBe(false);
    brake.charge(1, 5000);
    expect(brake.holds(1, 0)).toBe(true);
    expect(brake.holds(2, 0)).toBe(false);
    expect(brake.holds(1, 999)).toBe(true);
    expect(brake.holds(1, 1000)).toBe(false);
  });

  test('never holds who wastes less than is given back, however long', () => {
    const brake = createBrake(budget);
    for (let second = 0; second < 10_000; second += 1) {
      expect(brake.holds(1, second * 1000)).toBe(false);
      brake.charge(1, 900);
    }
  });

  test('lets a flood waste the burst and what is given back since, and a batch in hand more', () => {
    const step = fc.record({ afterMs: fc.nat(50), us: fc.integer({ min: 1, max: 500 }) });
    fc.assert(
      fc.property(fc.array(step, { minLength: 1, maxLength: 500 }), (steps) => {
        const brake = createBrake(budget);
        let [atMs, wasted] = [0, 0];
        for (const { afterMs, us } of steps) {
          atMs += afterMs;
          if (brake.holds(1, atMs)) continue;
          brake.charge(1, us);
          wasted += us;
        }
        const episodes = 1 + atMs / 1000;
        expect(wasted).toBeLessThanOrEqual(budget.burstUs + (atMs / 1000) * budget.refillUs + 500 * episodes);
      }),
    );
  });

  test('goes by the time of the log: one that is read again from its beginning refills as it did', () => {
    const brake = createBrake(budget);
    for (const round of [0, 1]) {
      for (let second = 0; second < 1000; second += 1) {
        expect([round, second, brake.holds(1, second * 1000)]).toEqual([round, second, false]);
        brake.charge(1, 900);
      }
    }
  });

  test('what was stored before is not put off for what was wasted since, where the log is read again', () => {
    const brake = createBrake(budget);
    brake.charge(1, 20_000);
    expect(brake.holds(1, 1_000_000)).toBe(true);
    // Another partition is a little behind: no log that is read again.
    expect(brake.holds(1, 1_000_000 - 50_000)).toBe(true);
    expect(brake.holds(1, 1_000_000 - 3_600_000)).toBe(false);
  });

  test('keeps a bounded number in mind', () => {
    const brake = createBrake({ ...budget, maxKept: 10 });
    for (let probe = 0; probe < 1000; probe += 1) brake.charge(probe, 20_000);
    expect(Array.from({ length: 1000 }, (_, probe) => brake.holds(probe, 0)).filter(Boolean).length).toBe(10);
  });
});

describe('a second look', () => {
  const never = () => {
    throw new Error('no look fails here');
  };

  test('is had by an honest probe, however many another asks for', async () => {
    let looks = 0;
    const second = createSecondLook({
      look: async () => {
        looks += 1;
      },
      onError: never,
      leastGapMs: 5,
    });
    let had = 0;
    for (let asked = 0; asked < 200; asked += 1) had += Number(await second.of(666));
    expect(had).toBeLessThan(8);
    expect(await second.of(7)).toBe(true);
    expect(await second.of(8)).toBe(true);
    expect(looks).toBeLessThan(10);
  });

  test('has begun after it was asked for, and is shared by all who wait', async () => {
    let [looks, known] = [0, 0];
    let world = 0;
    const second = createSecondLook({
      async look() {
        looks += 1;
        const seen = world;
        await new Promise((done) => setImmediate(done));
        known = seen;
      },
      onError: never,
      leastGapMs: 5,
    });
    const first = second.of(1);
    await new Promise((done) => setImmediate(done));
    world = 1;
    await Promise.all(Array.from({ length: 50 }, (_, probe) => second.of(probe + 2)));
    expect(known).toBe(1);
    await first;
    expect(looks).toBe(2);
  });

  test('costs a tenth of the time at most, and a failed one is no end', async () => {
    let looks = 0;
    const errors: unknown[] = [];
    const second = createSecondLook({
      async look() {
        looks += 1;
        throw new Error('away');
      },
      onError: (error) => errors.push(error),
      leastGapMs: 20,
    });
    const began = performance.now();
    await Promise.all(Array.from({ length: 20 }, async (_, probe) => second.of(probe)));
    expect(await second.of(99)).toBe(true);
    expect(looks).toBe(2);
    expect(errors.length).toBe(2);
    expect(performance.now() - began).toBeGreaterThan(19);
  });

  test('for keys of nobody: one in a second waits, and there is another look for those that did not', async () => {
    let nowMs = 0;
    let looks = 0;
    const second = createSecondLook({
      look: async () => {
        looks += 1;
      },
      onError: never,
      leastGapMs: 0,
      nowMs: () => nowMs,
    });
    const had = [];
    for (let asked = 0; asked < 100; asked += 1) had.push(await second.ofAnybody());
    expect(had.filter(Boolean).length).toBe(1);
    expect(looks).toBe(1);
    nowMs = 1000;
    expect(await second.ofAnybody()).toBe(true);
    expect(looks).toBe(2);
  });
});

describe('the memory of numbers', () => {
  const sig = (byte: number) => new Uint8Array(64).fill(byte);
  const claim = (seq: number, probeId = 1, stream = 'a') => ({ stream, probeId, seq });

  test('knows another signature under a number, of the last 32 of a stream', () => {
    const memory = createSeqMemory();
    for (let seq = 1; seq <= 40; seq += 1) memory.note(claim(seq), sig(seq));
    expect(memory.differs(claim(40), sig(40))).toBe(false);
    expect(memory.differs(claim(40), sig(41))).toBe(true);
    expect(memory.differs(claim(9), sig(77))).toBe(true);
    expect(memory.differs(claim(8), sig(77))).toBe(false);
    expect(memory.differs(claim(40, 2), sig(77))).toBe(false);
    expect([memory.knows('a', 1), memory.knows('a', 2), memory.knows('b', 1)]).toEqual([true, false, false]);
  });

  test('goes by what was stored last under a number, as after a restored backup', () => {
    const memory = createSeqMemory();
    memory.note(claim(5), sig(1));
    memory.note(claim(5), sig(2));
    expect([memory.differs(claim(5), sig(1)), memory.differs(claim(5), sig(2))]).toEqual([true, false]);
  });

  test('is bounded; a stream that is in use is not pushed out', () => {
    const memory = createSeqMemory({ maxStreams: 10 });
    for (let stream = 0; stream < 100; stream += 1) {
      memory.note(claim(stream + 1, 1, 'used'), sig(1));
      memory.note(claim(1, 2, `s${stream}`), sig(1));
    }
    expect(memory.knows('used', 1)).toBe(true);
    expect(memory.knows('s0', 2)).toBe(false);
  });
});

test('the room for what is refused is that of an hour', () => {
  let nowUs = 0;
  const room = createRejectRoom({ now: () => nowUs, maxRows: 10, maxBytes: 100 });
  expect([room.rows(7), room.rows(7), room.rows(7)]).toEqual([7, 3, 0]);
  expect([room.bytes(90), room.bytes(90)]).toEqual([90, 10]);
  nowUs = 3_600_000_000;
  expect([room.rows(7), room.bytes(90)]).toEqual([7, 90]);
});

test('who waits for decoded room is let in when there is some, and leaves nothing behind', async () => {
  const room = createDecodedRoom(10);
  const { signal } = new AbortController();
  for (let time = 0; time < 5; time += 1) {
    room.take(10);
    let free = false;
    const waiting = room.free(signal).then(() => {
      free = true;
    });
    await null;
    expect([free, getEventListeners(signal, 'abort').length]).toEqual([false, 1]);
    room.leave(10);
    await waiting;
    expect(getEventListeners(signal, 'abort')).toEqual([]);
  }
  const aborter = new AbortController();
  room.take(10);
  const refused = expect(room.free(aborter.signal)).rejects.toThrow('stopped');
  aborter.abort(new Error('stopped'));
  await refused;
});
