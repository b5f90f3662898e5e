import { afterEach, expect, test, vi } from 'vitest';
import { measured } from '../../../probe/run/measured.ts';
import { watchNoise } from '../../../probe/run/noise.ts';
import { assignmentSchema } from '../../../shared/assignment.ts';

afterEach(() => void vi.useRealTimers());

/** A clock that the test moves, as a stalled loop would: timers fire late. */
function scene() {
  vi.useFakeTimers();
  let ms = 0;
  const noise = watchNoise(() => ms);
  return {
    noise,
    /** The loop turns each 10 ms. */
    turn(count: number) {
      for (let index = 0; index < count; index += 1) {
        ms += 10;
        vi.advanceTimersByTime(10);
      }
    },
    stall(forMs: number) {
      ms += forMs;
    },
    now: () => ms,
  };
}

test('a quiet loop is quiet', () => {
  const { noise, turn } = scene();
  turn(3000);
  expect([noise.worstStallMs(0), noise.minuteUs()]).toEqual([0, 0]);
});

test('a stall is seen by who lived through it, before and after the timer saw it, and by nobody later', () => {
  const { noise, turn, stall, now } = scene();
  turn(10);
  const before = now();
  stall(40);
  expect(noise.worstStallMs(before)).toBe(30);
  turn(1);
  expect(noise.worstStallMs(before)).toBe(40);
  turn(1);
  expect(noise.worstStallMs(now())).toBe(0);
  expect(noise.worstStallMs(before)).toBe(40);
});

test('two stalls in a hundred turns are the p99; a minute later they are forgotten', () => {
  const { noise, turn, stall } = scene();
  for (let each = 0; each < 20; each += 1) {
    turn(49);
    stall(25);
    turn(1);
  }
  expect(noise.minuteUs()).toBe(25_000);
  turn(7000);
  expect(noise.minuteUs()).toBe(0);
});

test('a check is disturbed by a stall that is a part of what it measured, not by one that is small beside it', async () => {
  const assignment = assignmentSchema.parse({
    id: 1,
    rev: 1,
    name: 'a',
    url: 'http://example.com',
    intervalMs: 1000,
    timeoutMs: 500,
    replicas: 1,
    retries: { count: 0, delayMs: 0 },
    robots: 'ignore',
    changedAt: 0,
    request: {},
    expect: {},
  });
  const noise = watchNoise();
  const check = async (quietMs: number, stallMs: number) => {
    const checker = {
      async check() {
        await new Promise((done) => setTimeout(done, quietMs));
        const until = performance.now() + stallMs;
        while (performance.now() < until);
        return {} as never;
      },
      close: async () => undefined,
    };
    return (await measured(checker, noise).check(assignment, new AbortController().signal)).disturbed;
  };
  expect(await check(20, 60)).toBe(true);
  expect(await check(1500, 60)).toBe(false);
  noise.stop();
});
