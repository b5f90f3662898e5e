import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  dayUs,
  type Partition,
  partitionFromName,
  planPartitions,
} from '../../../hub/store/partition-plan.ts';

const hourUs = dayUs / 24;
const width = fc.constantFrom('day' as const, 'hour' as const);

function apply(existing: readonly Partition[], plan: ReturnType<typeof planPartitions>): Partition[] {
  const dropped = new Set(plan.drop.map((partition) => partition.name));
  return [...existing.filter((partition) => !dropped.has(partition.name)), ...plan.create];
}

test('whatever the steps of time and changes of width, all of retention and three days ahead are covered, once', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1_600_000_000, max: 2_000_000_000 }),
      fc.array(fc.tuple(fc.integer({ min: 0, max: 20 * 86_400 }), width), { minLength: 1, maxLength: 8 }),
      fc.integer({ min: 1, max: 40 }),
      (startSeconds, steps, retentionDays) => {
        let partitions: Partition[] = [];
        let nowUs = startSeconds * 1_000_000;
        for (const [seconds, width] of steps) {
          nowUs += seconds * 1_000_000;
          const policy = { width, retentionDays };
          partitions = apply(partitions, planPartitions(partitions, nowUs, policy));
          const sorted = [...partitions].sort((a, b) => a.fromUs - b.fromUs);
          for (const [index, one] of sorted.entries()) {
            const next = sorted[index + 1];
            if (next) expect(one.toUs).toBe(next.fromUs);
            expect(partitionFromName(one.name)).toEqual(one);
          }
          expect(sorted[0]?.fromUs).toBeLessThanOrEqual(nowUs - retentionDays * dayUs);
          expect(sorted[0]?.toUs).toBeGreaterThan(nowUs - retentionDays * dayUs - hourUs);
          expect(sorted.at(-1)?.toUs).toBeGreaterThan(nowUs + 3 * dayUs);
          expect(planPartitions(partitions, nowUs, policy)).toEqual({ create: [], drop: [] });
        }
      },
    ),
    { numRuns: 60 },
  );
});

test('an empty database gets days, or hours for what is to come', () => {
  const nowUs = Date.UTC(2026, 2, 10, 15, 30) * 1000;
  const days = planPartitions([], nowUs, { width: 'day', retentionDays: 7 }).create.map((one) => one.name);
  expect(days).toEqual(
    Array.from({ length: 11 }, (_, index) => `results_202603${String(index + 3).padStart(2, '0')}`),
  );
  const hours = planPartitions([], nowUs, { width: 'hour', retentionDays: 7 }).create.map((one) => one.name);
  expect(hours.slice(6, 9)).toEqual(['results_20260309', 'results_2026031000', 'results_2026031001']);
  expect(hours).toHaveLength(7 + 4 * 24);
});

test.each(['results', 'results_default', 'results_2026', 'results_20260310_old', 'latest_results'])(
  'the table %s is not taken for a partition',
  (name) => {
    expect(partitionFromName(name)).toBeNull();
  },
);
