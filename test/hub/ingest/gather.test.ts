import { describe, expect, test } from 'vitest';
import { createGather } from '../../../hub/ingest/gather.ts';
import { until } from './until.ts';

const never = new AbortController().signal;

/** Units are their own sizes; what was stored together stands in one list. */
function scene(options: { maxSize: number; maxMs: number; fail?: (group: readonly number[]) => unknown }) {
  const groups: number[][] = [];
  const atMs: number[] = [];
  let release: (() => void) | null = null;
  let held = false;
  const gather = createGather<number>({
    ...options,
    sizeOf: (unit) => unit,
    async store(group) {
      groups.push([...group]);
      atMs.push(performance.now());
      if (held) await new Promise<void>((done) => (release = done));
      options.fail?.(group);
      return new Map(group.filter((unit) => unit === 13).map((unit) => [unit, new Error('thirteen')]));
    },
  });
  return {
    gather,
    groups,
    atMs,
    hold: () => {
      held = true;
    },
    release: () => {
      held = false;
      release?.();
    },
  };
}

describe('what goes into one transaction', () => {
  test('as many rows as it may hold, and no wait for more', async () => {
    const { gather, groups } = scene({ maxSize: 100, maxMs: 60_000 });
    await Promise.all([40, 30, 30].map((unit) => gather.add(unit, never)));
    expect(groups).toEqual([[40, 30, 30]]);
  });

  test('or what came within the time, however little', async () => {
    const { gather, groups, atMs } = scene({ maxSize: 100, maxMs: 80 });
    const beganMs = performance.now();
    await Promise.all([gather.add(1, never), gather.add(2, never)]);
    expect(groups).toEqual([[1, 2]]);
    expect((atMs[0] ?? 0) - beganMs).toBeGreaterThan(75);
  });

  test('never more than it may hold, but for one batch that is larger itself; in order', async () => {
    const { gather, groups } = scene({ maxSize: 100, maxMs: 20 });
    await Promise.all([60, 60, 300, 10, 20].map((unit) => gather.add(unit, never)));
    expect(groups).toEqual([[60], [60], [300], [10, 20]]);
  });

  test('what comes while one is stored waits for the next, and is not late because of it', async () => {
    const { gather, groups, hold, release } = scene({ maxSize: 10, maxMs: 60_000 });
    hold();
    const all = [gather.add(10, never), gather.add(4, never), gather.add(6, never)];
    await until(() => groups.length === 1);
    release();
    await Promise.all(all);
    expect(groups).toEqual([[10], [4, 6]]);
  });

  test('an abort takes back what has not begun, and nothing else', async () => {
    const { gather, groups, hold, release } = scene({ maxSize: 10, maxMs: 60_000 });
    hold();
    const begun = gather.add(10, never);
    await until(() => groups.length === 1);
    const leaving = new AbortController();
    const taken = gather.add(9, leaving.signal);
    const stays = [gather.add(3, never), gather.add(7, never)];
    leaving.abort(new Error('left'));
    await expect(taken).rejects.toThrow('left');
    release();
    await Promise.all([begun, ...stays]);
    expect(groups).toEqual([[10], [3, 7]]);
    await expect(gather.add(1, leaving.signal)).rejects.toThrow('left');
  });

  test('one that fails alone spoils no other; a group that fails whole fails for each, and the next goes on', async () => {
    let broken = true;
    const { gather } = scene({
      maxSize: 20,
      maxMs: 5,
      fail() {
        if (broken) throw new Error('the database is away');
      },
    });
    const failed = await Promise.allSettled([gather.add(1, never), gather.add(2, never)]);
    expect(failed.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
    broken = false;
    const mixed = await Promise.allSettled([gather.add(5, never), gather.add(13, never)]);
    expect(mixed.map(({ status }) => status)).toEqual(['fulfilled', 'rejected']);
  });
});
