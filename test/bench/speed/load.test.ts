import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { resultFault } from '../../../hub/ingest/result-fault.ts';
import { lagSlope } from './lag.ts';
import { resultAt, sharesOf } from './load-shape.ts';
import { loadTurns } from './load-turns.ts';
import { type PooledBatch, poolRecord, readPool } from './pool-file.ts';

const intervalUs = 60_000_000;

test('every pair has one probe, and every probe an equal share', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 300 }),
      fc.integer({ min: 1, max: 5 }),
      fc.integer({ min: 5, max: 40 }),
      (endpoints, regions, probes) => {
        const shares = sharesOf({ endpoints, regions, probes, intervalUs });
        expect(shares.map(({ probeId }) => probeId).toSorted((a, b) => a - b)).toEqual(
          Array.from({ length: probes }, (_, index) => index + 1),
        );
        const pairs = shares.flatMap(({ regionId, endpointIds }) =>
          [...endpointIds].map((id) => `${id}|${regionId}`),
        );
        expect(new Set(pairs).size).toBe(endpoints * regions);
        expect(pairs).toHaveLength(endpoints * regions);
        for (let region = 1; region <= regions; region += 1) {
          const sizes = shares
            .filter(({ regionId }) => regionId === region)
            .map((one) => one.endpointIds.length);
          expect(Math.max(...sizes) - Math.min(...sizes)).toBeLessThanOrEqual(1);
        }
      },
    ),
    { numRuns: 50 },
  );
});

test('what the load holds is nothing that a hub refuses, and no slot comes twice', () => {
  const load = {
    endpoints: 50,
    regions: 2,
    probes: 4,
    intervalUs,
    batchSize: 7,
    fromUs: 1_767_788_400_000_000,
  };
  const turns = loadTurns(load);
  const slots = new Set<string>();
  const seqs = new Map<string, number>();
  let results = 0;
  while (results < 1000) {
    const turn = turns.next().value;
    expect(turn.seq).toBe((seqs.get(turn.stream) ?? 0) + 1);
    seqs.set(turn.stream, turn.seq);
    for (const result of turn.results) {
      expect(resultFault(result, Number.MAX_SAFE_INTEGER)).toBeNull();
      slots.add(`${result.endpointId}|${result.regionId}|${result.scheduledAt}`);
    }
    results += turn.results.length;
  }
  expect(slots.size).toBe(results);
  expect(seqs.size).toBe(4);
});

test('batches come back from a pool as they were written', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'parallax-pool-'));
  try {
    const [share] = sharesOf({ endpoints: 10, regions: 1, probes: 1, intervalUs });
    if (!share) throw new Error('no share');
    const result = resultAt(share, 1, 1_767_788_400_000_000);
    const values = [0, 1, 3_000_000, 5_000_000].map((size) => Buffer.alloc(size, size % 251));
    const signature = Buffer.alloc(64, 7);
    const file = join(folder, 'pool');
    await writeFile(
      file,
      Buffer.concat(values.map((value, at) => poolRecord(at + 1, [result], signature, value))),
    );
    const found: PooledBatch[] = [];
    for await (const one of readPool(file)) found.push(one);
    expect(found.map(({ probeId, results }) => [probeId, results])).toEqual(
      [1, 2, 3, 4].map((id) => [id, 1]),
    );
    expect(found.every((one, at) => one.value.equals(values[at] ?? Buffer.alloc(1)))).toBe(true);
    expect(found.every((one) => one.signature.equals(signature))).toBe(true);
  } finally {
    await rm(folder, { recursive: true });
  }
});

test.for([
  ['grows by the rate it grows', [0, 100, 200, 300], 100],
  ['does not grow', [50, 50, 50], 0],
  ['shrinks', [300, 200, 100], -100],
  ['is not known from one point', [7], 0],
] as const)('lag %s', ([, lags, expected]) => {
  expect(lagSlope(lags.map((lag, second) => ({ second, lag })))).toBeCloseTo(expected);
});
