import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  extraSlot,
  extraSpreadUs,
  nextSlot,
  phaseOf,
  shardCount,
  shardOf,
  slotAt,
} from '../../shared/slot.ts';

const second = 1_000_000;
const instant = fc.integer({ min: 1_600_000_000 * second, max: 2_500_000_000 * second });
const interval = fc.integer({ min: 1, max: 86_400 }).map((seconds) => seconds * second);
const id = fc.integer({ min: 1, max: 2 ** 40 });
const region = fc.integer({ min: 1, max: 32_767 });

describe('slots', () => {
  test('the next slot comes after, within one interval, and is a slot itself', () => {
    fc.assert(
      fc.property(instant, interval, id, region, (at, intervalUs, endpointId, regionId) => {
        const phase = phaseOf(endpointId, regionId, intervalUs);
        expect(phase).toBeGreaterThanOrEqual(0);
        expect(phase).toBeLessThan(intervalUs);
        const next = nextSlot(at, intervalUs, phase);
        expect(next).toBeGreaterThan(at);
        expect(next - at).toBeLessThanOrEqual(intervalUs);
        expect(slotAt(next, intervalUs, phase)).toBe(next);
        expect(slotAt(next - 1, intervalUs, phase)).toBe(next - intervalUs);
      }),
    );
  });

  test('walking slot by slot never repeats nor skips one, however the walk is interrupted', () => {
    fc.assert(
      fc.property(
        instant,
        interval,
        id,
        fc.array(fc.double({ min: 0, max: 0.999, noNaN: true }), { maxLength: 50 }),
        (at, intervalUs, endpointId, pauses) => {
          const phase = phaseOf(endpointId, 1, intervalUs);
          let slot = nextSlot(at, intervalUs, phase);
          for (const pause of pauses) {
            const following = nextSlot(slot + Math.floor(pause * intervalUs), intervalUs, phase);
            expect(following).toBe(slot + intervalUs);
            slot = following;
          }
        },
      ),
    );
  });

  test('every probe of a region means the same slot, whenever it looks', () => {
    fc.assert(
      fc.property(instant, interval, id, fc.nat(), (at, intervalUs, endpointId, later) => {
        const phase = phaseOf(endpointId, 7, intervalUs);
        const slot = nextSlot(at, intervalUs, phase);
        const otherLooksAt = at + (later % (slot - at));
        expect(nextSlot(otherLooksAt, intervalUs, phase)).toBe(slot);
      }),
    );
  });

  test('a change of the interval is due by the sooner of the two grids', () => {
    fc.assert(
      fc.property(instant, interval, interval, id, (at, before, after, endpointId) => {
        const slot = nextSlot(at, after, phaseOf(endpointId, 1, after));
        expect(slot - at).toBeLessThanOrEqual(after);
        expect(nextSlot(slot, before, phaseOf(endpointId, 1, before))).toBeGreaterThan(slot);
      }),
    );
  });

  test('the extra slot of a change is within ten seconds of it, and the same for every probe', () => {
    fc.assert(
      fc.property(instant, id, region, fc.integer({ min: 1, max: 1000 }), (at, endpointId, regionId, rev) => {
        const slot = extraSlot(endpointId, regionId, rev, at);
        expect(slot - at).toBeGreaterThanOrEqual(0);
        expect(slot - at).toBeLessThan(extraSpreadUs);
        expect(extraSlot(endpointId, regionId, rev, at)).toBe(slot);
      }),
    );
  });
});

describe('spread', () => {
  const count = 100_000;
  const endpoints = Array.from({ length: count }, (_, index) => index + 1);

  /** The largest distance of the phases' distribution from the even one, as a share (Kolmogorov-Smirnov). */
  function unevenness(shares: readonly number[]): number {
    const sorted = shares.toSorted((a, b) => a - b);
    return sorted.reduce(
      (worst, share, index) => Math.max(worst, Math.abs(share - index / sorted.length)),
      0,
    );
  }

  test.each([5, 30, 60, 300, 86_400])(
    'phases of 100,000 endpoints at %d s are within 2%% of even',
    (seconds) => {
      const phases = endpoints.map((endpoint) => phaseOf(endpoint, 1, seconds * second) / (seconds * second));
      expect(unevenness(phases)).toBeLessThan(0.02);
    },
  );

  test('regions are staggered: two of them see an endpoint at unrelated instants', () => {
    const apart = endpoints.map((endpoint) => {
      const difference = phaseOf(endpoint, 1, 60 * second) - phaseOf(endpoint, 2, 60 * second);
      return ((difference + 60 * second) % (60 * second)) / (60 * second);
    });
    expect(unevenness(apart)).toBeLessThan(0.02);
  });

  test('shards hold within a quarter of their even share of 100,000 endpoints', () => {
    const sizes = new Array<number>(shardCount).fill(0);
    for (const endpoint of endpoints) sizes[shardOf(endpoint)] = (sizes[shardOf(endpoint)] ?? 0) + 1;
    // 391 a shard: five standard deviations are a quarter of it.
    for (const size of sizes) expect(Math.abs(size / (count / shardCount) - 1)).toBeLessThan(0.26);
  });
});
