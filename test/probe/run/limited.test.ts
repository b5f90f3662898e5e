import { describe, expect, test, vi } from 'vitest';
import { notRun } from '../../../probe/checks/observed.ts';
import { attempt } from '../../../probe/run/attempts.ts';
import { limited, memoryLimit, rateLimit } from '../../../probe/run/limited.ts';
import type { MeasuredChecker } from '../../../probe/run/measured.ts';
import type { Assignment } from '../../../shared/assignment.ts';
import { failure } from '../../../shared/failure.ts';

const assignment = { id: 1, timeoutMs: 10, retries: { count: 2, delayMs: 0 } } as unknown as Assignment;
const { signal } = new AbortController();

function countingChecker(): MeasuredChecker & { readonly runs: number } {
  let runs = 0;
  return {
    get runs() {
      return runs;
    },
    async check() {
      runs += 1;
      return { observation: notRun(failure('connect.refused', 'no')), disturbed: false };
    },
    noiseUs: () => 0,
    close: async () => undefined,
  };
}

describe('a rate that is never exceeded', () => {
  test.each([1, 7, 100])('%d a second, however many are asked for', async (perSecond) => {
    let nowMs = 0;
    const checker = countingChecker();
    const slow = limited(checker, [rateLimit(perSecond, () => nowMs)]);
    for (let step = 0; step < 10_000; step += 1) {
      nowMs += 1;
      await slow.check(assignment, signal);
    }
    // Ten seconds, and what may come at once after a pause.
    expect(checker.runs).toBeLessThanOrEqual(perSecond * 11);
    expect(checker.runs).toBeGreaterThanOrEqual(perSecond * 10);
  });

  test("what it forbids is skipped, and is nobody else's fault", async () => {
    const slow = limited(countingChecker(), [rateLimit(1, () => 0)]);
    await slow.check(assignment, signal);
    expect((await slow.check(assignment, signal)).observation).toMatchObject({
      outcome: 'skipped',
      failure: { code: 'probe.saturated', source: 'probe', message: expect.stringContaining('--max-rate') },
    });
  });

  test('a retry that it forbids leaves the failure in hand', async () => {
    const slow = limited(countingChecker(), [rateLimit(2, () => 0)]);
    const done = await attempt(slow, assignment, { endUs: 1e15, nowUs: () => 0, signal });
    expect(done).toMatchObject({ attempts: 2, observation: { failure: { code: 'connect.refused' } } });
  });
});

test('above its memory it checks nothing until it is well below', async () => {
  vi.useFakeTimers();
  try {
    let rss = 50;
    const { limit, over, stop } = memoryLimit(100, () => rss);
    const seen: boolean[] = [];
    for (const next of [50, 101, 100, 96, 94, 100]) {
      rss = next;
      await vi.advanceTimersByTimeAsync(1000);
      seen.push(limit() !== null);
      expect(over()).toBe(limit() !== null);
    }
    expect(seen).toEqual([false, true, true, true, false, false]);
    stop();
  } finally {
    vi.useRealTimers();
  }
});
