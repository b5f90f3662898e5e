import { expect, test } from 'vitest';
import { grows, type Sample, slopeOf } from './flat.ts';

const hour = 3_600_000;
const every5s = (minutes: number, value: (atMs: number, index: number) => number): Sample[] =>
  Array.from({ length: minutes * 12 }, (_, index) => ({
    atMs: index * 5000,
    value: value(index * 5000, index),
  }));

test('a straight line has its slope, with no error', () => {
  const slope = slopeOf(every5s(10, (atMs) => 100 + 60 * (atMs / hour)));
  expect(slope?.perHour).toBeCloseTo(60, 5);
  expect(slope?.error).toBeLessThan(1e-6);
});

test('saw teeth are flat, and a leak below them is seen', () => {
  const tooth = (index: number) => (index * 7) % 40;
  const flat = slopeOf(every5s(10, (_, index) => 100 + tooth(index)));
  const leak = slopeOf(every5s(10, (atMs, index) => 100 + tooth(index) + 120 * (atMs / hour)));
  if (!flat || !leak) throw new Error('no slope');
  expect(grows(flat, 10)).toBe(false);
  expect(grows(leak, 10)).toBe(true);
  expect(leak.perHour).toBeGreaterThan(80);
});

test('too few samples say nothing', () => {
  expect(slopeOf([])).toBeNull();
  expect(slopeOf([{ atMs: 1, value: 1 }])).toBeNull();
  expect(slopeOf(every5s(1, () => 1).slice(0, 3))).toBeNull();
});
