import { expect, test } from 'vitest';
import { createBackoff } from '../../probe/hub/backoff.ts';

const never = new AbortController().signal;

test.each([
  ['waits a quarter of its bound at the least', 0, 0, [125, 250, 500, 1000, 1000]],
  ['and all of it at the most', 1, 0, [500, 1000, 2000, 4000, 4000]],
  ['what a hub asks for comes on top, so that its probes do not come back in step', 0, 2000, [2125, 2250]],
  ['and is spread like the rest', 1, 2000, [2500, 3000]],
])('%s', async (_, random, leastMs, expected) => {
  const waits: number[] = [];
  const backoff = createBackoff(
    { firstMs: 500, mostMs: 4000 },
    () => random,
    async (ms) => void waits.push(ms),
  );
  for (const __ of expected) await backoff.wait(never, leastMs);
  expect(waits).toEqual(expected);
});
