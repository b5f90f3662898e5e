import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createRepeaters } from '../../../hub/ingest/repeaters.ts';
import { storeBatches } from '../../../hub/ingest/store-batches.ts';
import { storeResults } from '../../../hub/ingest/store-results.ts';
import { type VerifiedBatch, verifyBatch } from '../../../hub/ingest/verify.ts';
import type { Result } from '../../../shared/result.ts';
import { batchOf, makeScene, newStream, resultOf, type Scene, seal, type TestProbe } from './scene.ts';

test('a probe is remembered for a minute after its last repetition', () => {
  let nowMs = 0;
  const repeaters = createRepeaters(() => nowMs);
  repeaters.note(1);
  nowMs = 50_000;
  repeaters.note(1);
  nowMs = 109_999;
  expect([1, 2].map((id) => repeaters.has(id))).toEqual([true, false]);
  nowMs = 110_000;
  expect(repeaters.has(1)).toBe(false);
});

test('of more than ten thousand those are remembered that came last', () => {
  const repeaters = createRepeaters(() => 0);
  for (let id = 1; id <= 10_001; id += 1) {
    repeaters.note(id);
    repeaters.note(1);
  }
  expect([1, 2, 3, 10_001].map((id) => repeaters.has(id))).toEqual([true, false, true, true]);
});

describe('what is stored does not depend on who is remembered', () => {
  let scene: Scene;
  let honest: TestProbe;
  let liar: TestProbe;
  beforeEach(async () => {
    scene = await makeScene();
    honest = await scene.probe('eu-west');
    liar = await scene.probe('eu-west');
  });
  afterEach(() => scene.end());

  const batch = (probe: TestProbe, ...results: Result[]): VerifiedBatch =>
    verifyBatch({ ...seal(probe, batchOf(probe, { results })), position: null }, scene.registry, {
      nowUs: scene.nowUs,
      sealedUntilUs: scene.keeper.sealedUntilUs(),
      hasPartition: scene.keeper.hasPartition,
    });

  test.for(['nobody', 'the liar', 'both'] as const)('%s', async (who) => {
    const repeaters = createRepeaters();
    if (who !== 'nobody') repeaters.note(liar.id);
    if (who === 'both') repeaters.note(honest.id);
    const slot = (probe: TestProbe, endpointId: number, status = 200) =>
      resultOf(probe, scene.nowUs, { endpointId, status });
    const store = (...batches: VerifiedBatch[]) =>
      scene.db.transaction((sql) => storeResults(sql, batches, repeaters, new Map()));
    expect(await store(batch(honest, slot(honest, 1)), batch(liar, slot(liar, 1)))).toEqual({
      rows: 2,
      duplicates: [],
    });
    const second = await store(
      batch(honest, slot(honest, 2), slot(honest, 3)),
      // Stored before, new, and twice in this very group.
      batch(liar, slot(liar, 1, 500), slot(liar, 2), slot(liar, 3)),
      batch(liar, slot(liar, 3, 501)),
    );
    expect(second.rows).toBe(4);
    expect(second.duplicates.map(({ probeId, detail }) => [probeId, detail])).toEqual([
      [liar.id, `endpoint 3, scheduled at ${scene.nowUs}`],
      [liar.id, `endpoint 1, scheduled at ${scene.nowUs}`],
    ]);
    const rows = await scene.db.many('select probe_id as probe, status from results order by 1, endpoint_id');
    expect(rows).toEqual(
      [honest.id, liar.id].flatMap((probe) => [1, 2, 3].map(() => ({ probe, status: 200 }))),
    );
    expect(await scene.count('latest_results')).toBe(3);
    expect([honest.id, liar.id].map(repeaters.has)).toEqual([who === 'both', true]);
  });
});

test('the same slots in two streams, in two orders, make no two transactions wait in a circle', async () => {
  const scene = await makeScene();
  try {
    const liar = await scene.probe('eu-west');
    for (let round = 0; round < 4; round += 1) {
      const results = Array.from({ length: 4000 }, (_, n) =>
        resultOf(liar, scene.nowUs - round * 1000, { endpointId: n + 1 }),
      );
      const stored = await Promise.all(
        [results, results.toReversed()].map((each) => {
          const stream = newStream();
          const claim = { stream, seq: 1, probeId: liar.id, gaps: [] };
          const incoming = { ...seal(liar, batchOf(liar, { stream })), position: null };
          const { regionId } = liar;
          return storeBatches(scene.db, [
            { incoming, claim, regionId, results: each, rejects: [], doubt: null },
          ]);
        }),
      );
      expect(stored.map(({ rows }) => rows).sort()).toEqual([0, 4000]);
    }
  } finally {
    await scene.end();
  }
});
