import { afterEach, expect, test } from 'vitest';
import type { SealedBatch } from '../../../shared/batch.ts';
import { batchOf, makeScene, resultOf, type Scene, seal } from './scene.ts';

let scene: Scene;
afterEach(() => scene.end());

/** As one partition hands them over. */
const ingest = (batches: readonly SealedBatch[]) =>
  scene.ingest.handle(
    batches.map((batch) => ({ ...batch, position: null })),
    AbortSignal.timeout(60_000),
  );

test('what many probes name and nobody has holds up what came with it for one look, not for one each', async () => {
  scene = await makeScene();
  const probes = await Promise.all(Array.from({ length: 20 }, () => scene.probe('eu-west')));
  const batches = (endpointId: number) =>
    probes.map((probe) =>
      seal(probe, batchOf(probe, { results: [resultOf(probe, scene.nowUs, { endpointId })] })),
    );
  await ingest([...batches(5000), ...batches(5001)]);
  expect(scene.registry.refreshed).toBe(1);
  // What comes later has one of its own.
  await ingest(batches(5002));
  expect(scene.registry.refreshed).toBe(2);
  expect(
    await scene.db.many('select reason, sum(count)::int as count from reject_counts group by 1'),
  ).toEqual([{ reason: 'endpoint_unknown', count: 60 }]);
});

test('who sends what PostgreSQL does not take, and has others stored again for it, pays for that', async () => {
  scene = await makeScene({ brake: { refillUs: 0, burstUs: 100_000 } });
  // A constraint that verification knows nothing of.
  await scene.db.run('alter table results add check (redirects <> 77)');
  const probe = await scene.probe('eu-west');
  for (let sent = 0; sent < 20; sent += 1) {
    await ingest([
      seal(probe, batchOf(probe, { results: [resultOf(probe, scene.nowUs, { redirects: 77 })] })),
    ]);
  }
  expect(await scene.db.many('select reason, count from reject_counts order by 1')).toEqual([
    { reason: 'poison', count: 5 },
    { reason: 'put_off', count: 15 },
  ]);
});
