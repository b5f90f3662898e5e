import { expect, test } from 'vitest';
import { createHubLoss } from '../../../probe/deliver/hub-loss.ts';

test('a hub that comes further, as one that reads its log again, has lost nothing yet', () => {
  const loss = createHubLoss(1000, 3);
  for (let upTo = 1; upTo < 20; upTo += 1) {
    for (const atMs of [0, 400, 900]) expect(loss.hears(upTo, 20, upTo * 1000 + atMs)).toBe(false);
  }
  // Where it stands still it has.
  expect([20_000, 20_001].map((atMs) => loss.hears(19, 20, atMs))).toEqual([true, false]);
});

test('takes as many leases and as much time, without one that says otherwise', () => {
  const loss = createHubLoss(1000, 3);
  const heard = (said: readonly [lower: boolean, atMs: number][]) =>
    said.map(([lower, atMs]) => loss.hears(lower ? 10 : 20, 20, atMs));
  // A sleep between two leases is time, and no three leases.
  expect(
    heard([
      [true, 0],
      [true, 5000],
      [false, 5001],
    ]),
  ).toEqual([false, false, false]);
  expect(
    heard([
      [true, 6000],
      [true, 6100],
      [true, 6200],
      [true, 6999],
    ]),
  ).toEqual([false, false, false, false]);
  expect(
    heard([
      [true, 7000],
      [true, 7001],
    ]),
  ).toEqual([true, false]);
  expect(
    heard([
      [true, 8001],
      [true, 8002],
      [false, 8100],
      [true, 8200],
      [true, 8300],
      [true, 9150],
    ]),
  ).toEqual([false, true, false, false, false, false]);
});
