import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Fault } from './fault.ts';
import { conflict } from './faults/all.ts';
import { drawnPlan, pairOf, written, writtenPlan } from './plan.ts';
import { createRandom } from './random.ts';

const fault = (name: string, conflicts: string[] = []): Fault => ({
  name,
  area: name.startsWith('hub') ? 'hub' : 'network',
  conflicts,
  inject: async () => ({ detail: name, heal: async () => undefined }),
});
const faults = [
  fault('hub.kill'),
  fault('hub.stopped', ['hub.*']),
  fault('network.cut'),
  fault('network.echo', ['network.cut']),
];

function draw(seed: number, count: number, over: { pairs?: boolean; longestMs?: number } = {}) {
  const plan = drawnPlan({ faults, random: createRandom(seed), pairs: true, longestMs: 60_000, ...over });
  return Array.from({ length: count }, () => plan.next()).filter((round) => round !== null);
}

test('a seed draws the same rounds, and another seed draws others', () => {
  const all = (seed: number) => JSON.stringify(draw(seed, 20).map(written));
  expect(all(7)).toBe(all(7));
  expect(all(7)).not.toBe(all(8));
});

test('every fault leads a round once before any does so again', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 2 ** 32 - 1 }), (seed) => {
      const leading = draw(seed, 8).map((round) => round.faults[0]?.name);
      for (const part of [leading.slice(0, 4), leading.slice(4)]) {
        expect([...part].sort()).toEqual(faults.map(({ name }) => name).sort());
      }
    }),
  );
});

test('what conflicts never stands together, and all other pairs come', () => {
  const pairs = draw(3, 60).filter((round) => round.faults.length === 2);
  for (const {
    faults: [one, other],
  } of pairs)
    expect(one && other && conflict(one, other)).toBe(false);
  const seen = new Set(pairs.map((round) => pairOf(round.faults.map(({ name }) => name))));
  expect(seen.size).toBe(
    drawnPlan({ faults, random: createRandom(1), pairs: true, longestMs: 1 }).pairsPossible,
  );
  expect(seen.size).toBe(4);
});

test('without pairs a round has one fault, and no round is longer than allowed', () => {
  const rounds = draw(3, 40, { pairs: false, longestMs: 5000 });
  expect(rounds.every((round) => round.faults.length === 1 && round.holdMs <= 5000)).toBe(true);
});

test('a written plan is the same again, and refuses a fault that is no longer there', () => {
  const round = { at: 3, faults: ['network.cut', 'probe.kill'], holdMs: 5, apartMs: 1 };
  const plan = writtenPlan([round]);
  const again = plan.next();
  expect(again && written(again)).toEqual(round);
  expect(plan.next()).toBeNull();
  expect(() => writtenPlan([{ ...round, faults: ['gone'] }])).toThrow("no fault 'gone'");
});
