import { expect, test } from 'vitest';
import { oneLook } from '../../../hub/trust/one-look.ts';

test('who asks during a look gets the next one, all of them the same, also after one that failed', async () => {
  const ends: ((failed?: Error) => void)[] = [];
  const ask = oneLook(
    () => new Promise((done, fail) => ends.push((failed) => (failed ? fail(failed) : done()))),
  );
  const turn = () => new Promise((resolve) => setImmediate(resolve));
  const first = ask();
  const told: string[] = [];
  const later = [ask(), ask(), ask()].map((one) => one.then(() => told.push('later')));
  await turn();
  expect([ends.length, told]).toEqual([1, []]);
  ends[0]?.(new Error('away'));
  await expect(first).rejects.toThrow('away');
  await turn();
  expect([ends.length, told]).toEqual([2, []]);
  ends[1]?.();
  await Promise.all(later);
  expect(told).toEqual(['later', 'later', 'later']);
  const again = ask();
  expect(ends.length).toBe(3);
  ends[2]?.();
  await again;
});
