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
        let sealedUs = 0;
        for (const [seconds, width] of steps) {
          nowUs += seconds * 1_000_000;
          const clocks = { hubUs: nowUs, databaseUs: nowUs };
          const plan = planPartitions(partitions, clocks, { width, retentionDays, sealedUs });
          partitions = apply(partitions, plan);
          sealedUs = Math.max(sealedUs, ...plan.drop.map(({ toUs }) => toUs));
          const sorted = [...partitions].sort((a, b) => a.fromUs - b.fromUs);
          for (const [index, one] of sorted.entries()) {
            const next = sorted[index + 1];
            if (next) expect(one.toUs).toBe(next.fromUs);
            expect(partitionFromName(one.name)).toEqual(one);
          }
          expect(sorted[0]?.fromUs).toBeLessThanOrEqual(nowUs - retentionDays * dayUs);
          expect(sorted[0]?.toUs).toBeGreaterThan(nowUs - retentionDays * dayUs - hourUs);
          expect(sorted.at(-1)?.toUs).toBeGreaterThan(nowUs + 3 * dayUs);
          const again = planPartitions(partitions, clocks, { width, retentionDays, sealedUs });
          expect(again).toMatchObject({ create: [], drop: [] });
          // What is still written to is never split, nor what is hours already.
          for (const { fromUs, toUs } of again.split) {
            expect(fromUs).toBeGreaterThan(nowUs);
            expect([width, toUs - fromUs]).toEqual(['hour', dayUs]);
          }
        }
      },
    ),
    { numRuns: 60 },
  );
});

test('an empty database gets days, or hours for what is to come', () => {
  const nowUs = Date.UTC(2026, 2, 10, 15, 30) * 1000;
  const clocks = { hubUs: nowUs, databaseUs: nowUs };
  const days = planPartitions([], clocks, { width: 'day', retentionDays: 7, sealedUs: 0 }).create.map(
    (one) => one.name,
  );
  expect(days).toEqual(
    Array.from({ length: 11 }, (_, index) => `results_202603${String(index + 3).padStart(2, '0')}`),
  );
  const hours = planPartitions([], clocks, { width: 'hour', retentionDays: 7, sealedUs: 0 }).create.map(
    (one) => one.name,
  );
  expect(hours.slice(6, 9)).toEqual(['results_20260309', 'results_2026031000', 'results_2026031001']);
  expect(hours).toHaveLength(7 + 4 * 24);
});

test('whichever clock is wrong, there are partitions for what either calls now, and only what is old by both goes', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1_600_000_000, max: 2_000_000_000 }),
      fc.integer({ min: -400 * 86_400, max: 400 * 86_400 }),
      width,
      (seconds, apartSeconds, width) => {
        const nowUs = seconds * 1_000_000;
        const clocks = { hubUs: nowUs + apartSeconds * 1_000_000, databaseUs: nowUs };
        const right = { hubUs: nowUs, databaseUs: nowUs };
        const policy = { width, retentionDays: 7, sealedUs: 0 };
        const before = planPartitions([], right, policy).create;
        const { create, drop } = planPartitions(before, clocks, policy);
        if (apartSeconds >= 0) expect(drop).toEqual([]);
        const there = [...before, ...create];
        expect(there.length).toBeLessThan(250);
        for (const us of [
          clocks.hubUs,
          clocks.databaseUs,
          clocks.hubUs + 3 * dayUs,
          clocks.hubUs - 7 * dayUs,
        ]) {
          expect(there.filter(({ fromUs, toUs }) => us >= fromUs && us < toUs)).toHaveLength(1);
        }
      },
    ),
    { numRuns: 60 },
  );
});

test('no partition is made before the seal, though retention was raised', () => {
  const nowUs = Date.UTC(2026, 2, 10, 15, 30) * 1000;
  const sealedUs = Date.UTC(2026, 2, 5, 22) * 1000;
  const policy = { width: 'day' as const, retentionDays: 30, sealedUs };
  const { create } = planPartitions([], { hubUs: nowUs, databaseUs: nowUs }, policy);
  expect(create.slice(0, 3).map(({ name }) => name)).toEqual([
    'results_2026030522',
    'results_2026030523',
    'results_20260306',
  ]);
});

test.each(['results', 'results_default', 'results_2026', 'results_20260310_old', 'latest_results'])(
  'the table %s is not taken for a partition',
  (name) => {
    expect(partitionFromName(name)).toBeNull();
  },
);
