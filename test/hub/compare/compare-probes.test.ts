import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { compareProbes, type Sample } from '../../../hub/compare/compare-probes.ts';
import { combined, medianRatio } from '../../../hub/compare/median-ratio.ts';

/** mulberry32: the same draws in every run. */
function randomOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Latencies as they are: a lump, and a long tail. */
function latencies(random: () => number, count: number, medianUs: number): Float64Array {
  return Float64Array.from({ length: count }, () => {
    const normal = Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
    const tail = random() < 0.05 ? 1 + 10 * random() : 1;
    return Math.round(medianUs * Math.exp(0.25 * normal) * tail);
  }).sort();
}

describe('the ratio of two medians', () => {
  const cases: [count: number, truth: number][] = [
    [30, 1],
    [30, 1.3],
    [200, 1.05],
    [60, 0.5],
  ];
  test.each(cases)('of %d measurements each holds %d about 95 times of 100', (count, truth) => {
    const random = randomOf(count);
    const runs = 500;
    let holds = 0;
    for (let run = 0; run < runs; run += 1) {
      const one = medianRatio(latencies(random, count, 20_000), latencies(random, count, 20_000 * truth));
      const ratio = one && combined([one]);
      if (ratio && ratio.low <= truth && truth <= ratio.high) holds += 1;
    }
    expect(holds / runs).toBeGreaterThan(0.91);
    expect(holds / runs).toBeLessThan(0.995);
  });

  test('over endpoints of very different speed is that of the probes, not of the targets', () => {
    const random = randomOf(7);
    // b measured the slow endpoint far more often: pooled, its median would be 20 times as long.
    const ratios = [
      [2000, 300, 40],
      [50_000, 40, 300],
    ].map(([median = 0, a = 0, b = 0]) =>
      medianRatio(latencies(random, a, median), latencies(random, b, median * 1.1)),
    );
    const ratio = combined(ratios.filter((one) => one !== null));
    expect(ratio?.value).toBeGreaterThan(1);
    expect(ratio?.value).toBeLessThan(1.25);
    expect(ratio && ratio.low <= 1.1 && 1.1 <= ratio.high).toBe(true);
  });

  test('says less where endpoints disagree', () => {
    const same = Array.from({ length: 6 }, () => ({ log: 0.1, variance: 0.0001 }));
    const apart = [-0.4, 0.6, -0.1, 0.3, -0.2, 0.4].map((log) => ({ log, variance: 0.0001 }));
    const width = (ratios: typeof same) => {
      const found = combined(ratios);
      return found ? Math.log(found.high / found.low) : 0;
    };
    expect(width(apart)).toBeGreaterThan(10 * width(same));
  });

  const times = fc.array(fc.integer({ min: 1, max: 10_000_000 }), { minLength: 8, maxLength: 80 });
  test('turned around is one over it, and a unit changes nothing', () => {
    fc.assert(
      fc.property(times, times, fc.integer({ min: 2, max: 9 }), (one, other, scale) => {
        const sorted = (list: number[], by = 1) => Float64Array.from(list.map((us) => us * by)).sort();
        const there = medianRatio(sorted(one), sorted(other));
        const back = medianRatio(sorted(other), sorted(one));
        const scaled = medianRatio(sorted(one, scale), sorted(other, scale));
        expect((there?.log ?? 0) + (back?.log ?? 0)).toBeCloseTo(0, 9);
        expect(scaled?.log).toBeCloseTo(there?.log ?? 0, 9);
        expect(scaled?.variance).toBeCloseTo(there?.variance ?? 0, 6);
      }),
    );
  });
});

const intervalUs = 10_000_000;

function samples(
  endpointId: number,
  count: number,
  over: (index: number) => Partial<Sample> = () => ({}),
  phaseUs = 0,
): Sample[] {
  return Array.from({ length: count }, (_, index) => ({
    endpointId,
    scheduledAt: 1_800_000_000_000_000 + index * intervalUs + phaseUs,
    outcome: 'up' as const,
    suspect: false,
    code: null,
    timings: {
      dns: null,
      connect: 1000 + (index % 7),
      tls: null,
      wait: 2000 + (index % 5),
      transfer: 10,
      total: 3100 + (index % 11),
    },
    ...over(index),
  }));
}
const compare = (a: Sample[], b: Sample[]) => compareProbes(a, b, () => intervalUs);

describe('two probes', () => {
  test('that measure the same are alike, phase by phase, and phases that neither has are left out', () => {
    const found = compare(samples(1, 100), samples(1, 100, undefined, 3_000_000));
    expect(found.phases.map(({ phase }) => phase)).toEqual(['connect', 'wait', 'transfer', 'total']);
    for (const { ratio } of found.phases) expect(ratio && ratio.low <= 1 && ratio.high >= 1).toBe(true);
    expect(found.tooLittle).toBeNull();
    expect(found.outcomes).toEqual({ pairs: 100, onlyAFails: 0, onlyBFails: 0, examples: [] });
  });

  const down = { outcome: 'down', code: 'connect.timeout' } as const;
  test('are held against each other slot by slot, in two regions too; what does not vote says nothing', () => {
    const a = samples(1, 50, (index) => (index === 3 ? down : index === 5 ? { suspect: true } : {}));
    const b = samples(
      1,
      50,
      (index) =>
        index === 4 || index === 5 ? down : index === 6 ? { outcome: 'skipped', code: 'probe.network' } : {},
      4_000_000,
    );
    const { outcomes, ...found } = compare(a, b);
    expect(outcomes).toMatchObject({ pairs: 48, onlyAFails: 1, onlyBFails: 1 });
    expect(outcomes.examples.map(({ a: saidA, b: saidB }) => [saidA.outcome, saidB.outcome])).toEqual([
      ['up', 'down'],
      ['down', 'up'],
    ]);
    expect(found.a).toEqual({ results: 50, suspect: 1, skipped: 0 });
    expect(found.b).toEqual({ results: 50, suspect: 0, skipped: 1 });
  });

  const slow = (index: number) => ({
    timings: { dns: null, connect: 900_000, tls: null, wait: null, transfer: null, total: 900_000 + index },
  });
  test('are not told apart by what was suspect or failed', () => {
    const a = samples(1, 60);
    const b = samples(1, 60, (index) => (index % 2 ? { ...slow(index), suspect: true } : {}));
    const total = compare(a, b).phases.find(({ phase }) => phase === 'total');
    expect(total?.b.count).toBe(30);
    expect(total?.ratio?.value).toBeCloseTo(1, 2);
  });

  const little: [name: string, a: Sample[], b: Sample[], why: RegExp | null][] = [
    ['nothing of either', [], [], /neither/],
    ['nothing of the second', samples(1, 50), [], /only the first/],
    ['other endpoints', samples(1, 50), samples(2, 50), /no endpoint/],
    ['a handful', samples(1, 50), samples(1, 7), /no endpoint has 8/],
    ['too few in all', samples(1, 50), samples(1, 19), /only 19/],
    ['just enough', samples(1, 20), samples(1, 20), null],
    [
      'enough over several',
      [...samples(1, 10), ...samples(2, 10)],
      [...samples(1, 10), ...samples(2, 10)],
      null,
    ],
  ];
  test.each(little)('with %s', (_, a, b, why) => {
    const found = compare(a, b);
    if (why) {
      expect(found.tooLittle).toMatch(why);
      expect(found.phases.every(({ ratio }) => ratio === null)).toBe(true);
    } else {
      expect(found.tooLittle).toBeNull();
      expect(found.phases.every(({ ratio }) => ratio !== null)).toBe(true);
    }
  });
});
