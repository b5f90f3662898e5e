import { describe, expect, test } from 'vitest';
import {
  dueOf,
  durableGapMsFor,
  lingerMsFor,
  spreadMsFor,
  type Tellable,
  type Told,
} from '../../../hub/trust/lease-poll.ts';

const [a, b] = ['a'.repeat(64), 'b'.repeat(64)];
const stream = 's'.repeat(32);
const times = { askedMs: 10_000, waitMs: 8000, durableGapMs: 500, spreadMs: 70 };
const told: Told = { atMs: 9900, version: 7, manifest: a, durable: [{ stream, upTo: 3 }], terms: 'k 1000' };
const now: Tellable = {
  status: 'active',
  manifest: a,
  durable: [{ stream, upTo: 3 }],
  terms: 'k 1000',
  jobs: 0,
};
const has = { have: 7, manifest: a };

test.each<
  [string, Partial<typeof has> | { manifest: null }, Told | undefined, Partial<Tellable>, string, number]
>([
  ['nothing changed', {}, told, {}, 'time', 18_000],
  ['this replica has told it nothing, and it has all', {}, undefined, {}, 'first', 10_070],
  ['this replica has told it nothing, and it has no lease', { have: 0 }, undefined, {}, 'first', 10_000],
  ['this replica has told it nothing, and it is behind', {}, undefined, { manifest: b }, 'first', 10_000],
  ['what it was told got lost', { have: 6 }, told, {}, 'first', 10_400],
  ['another replica has told it something newer', { have: 9 }, told, {}, 'time', 18_000],
  ['another manifest', {}, told, { manifest: b }, 'manifest', 10_000],
  ['a manifest it was told of and could not get', { manifest: b }, told, {}, 'manifest', 10_400],
  ['no manifest yet', { manifest: null }, told, {}, 'manifest', 10_400],
  ['documents are being made', {}, told, { manifest: null }, 'time', 18_000],
  ['documents are being made, first', {}, undefined, { manifest: null }, 'time', 18_000],
  ['another key signs', {}, told, { terms: 'l 1000' }, 'terms', 10_070],
  ['results moved', {}, told, { durable: [{ stream, upTo: 4 }] }, 'durable', 10_400],
  ['results moved long after', {}, { ...told, atMs: 5000 }, { durable: [] }, 'durable', 10_000],
  ['a job waits', {}, told, { jobs: 1 }, 'jobs', 10_000],
  ['revoked', {}, told, { status: 'revoked', manifest: null }, 'revoked', 10_000],
  ['gone', {}, undefined, { status: null }, 'revoked', 10_000],
  ['results moved and another manifest', {}, told, { durable: [], manifest: b }, 'manifest', 10_000],
])('%s', (_, asked, before, changes, reason, atMs) => {
  expect(dueOf({ ...has, ...asked }, before, { ...now, ...changes }, times)).toEqual({ reason, atMs });
});

describe('what many probes cost', () => {
  test.each([
    [0, 1000],
    [3, 1000],
    [1000, 1000],
    [1001, 1500],
    [10_000, 10_000],
    [100_000, 10_000],
  ])('with %i probes a result waits up to %i ms', (probes, ms) => {
    expect(lingerMsFor(probes)).toBe(ms);
  });

  test.each([
    ['ten are told what is of no hurry within 10 ms', 10, 10],
    ['10,000 over the whole wait', 10_000, 8000],
  ])('%s, evenly', (_, probes, overMs) => {
    const waits = Array.from({ length: probes }, (__, n) => spreadMsFor(n + 1, probes, 8000)).sort(
      (x, y) => x - y,
    );
    const gaps = waits.slice(1).map((wait, index) => wait - (waits[index] ?? 0));
    expect(waits.at(-1)).toBeLessThan(overMs);
    expect(Math.max(...gaps)).toBeLessThan((3 * overMs) / probes);
  });

  test.each([
    [0, 500],
    [250, 500],
    [1000, 2000],
    [10_000, 8000],
  ])('with %i that wait each hears of durable results every %i ms', (waiting, ms) => {
    expect(durableGapMsFor(waiting)).toBe(ms);
  });
});
