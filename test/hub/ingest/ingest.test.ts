import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { IncomingBatch } from '../../../hub/ingest/bus.ts';
import type { SealedBatch } from '../../../shared/batch.ts';
import { batchOf, downOf, makeScene, newStream, resultOf, type Scene, seal } from './scene.ts';

let scene: Scene;
beforeEach(async () => {
  scene = await makeScene();
});
afterEach(() => scene.end());

function handed(...batches: SealedBatch[]): IncomingBatch[] {
  return batches.map((batch) => ({ ...batch, position: null }));
}

const ingest = (...batches: SealedBatch[]) =>
  scene.ingest.handle(handed(...batches), AbortSignal.timeout(20_000));

describe('a good batch', () => {
  test('is stored with every field, with the newest of each pair, and moves its stream', async () => {
    const probe = await scene.probe('eu-west');
    const stream = newStream();
    const early = scene.nowUs - 60_000_000;
    const tls = {
      version: 'TLSv1.3',
      cipher: 'TLS_AES_128_GCM_SHA256',
      notAfter: 1_900_000_000,
      issuer: 'CN=Zürich "CA"',
      fingerprint: 'ab'.repeat(32),
    };
    await ingest(
      seal(
        probe,
        batchOf(probe, {
          stream,
          results: [
            downOf(probe, scene.nowUs, { firstFailure: 'dns.timeout', attempts: 3 }),
            resultOf(probe, early, { tls, kind: 'extra', suspect: true, truncated: true, bytes: 5e9 }),
          ],
        }),
      ),
    );
    expect(await scene.db.many('select reason, detail from rejects')).toEqual([]);
    const rows = await scene.db.many('select * from results order by scheduled_at');
    expect(rows).toEqual([
      {
        endpoint_id: 1,
        region_id: probe.regionId,
        scheduled_at: new Date(early / 1000),
        probe_id: probe.id,
        rev: 1,
        kind: 1,
        outcome: 0,
        suspect: true,
        truncated: true,
        attempts: 1,
        redirects: 0,
        status: 200,
        late_by_us: 400,
        dns_us: 1000,
        connect_us: 2000,
        tls_us: 3000,
        wait_us: 4000,
        transfer_us: 500,
        total_us: 10_500,
        bytes: 5e9,
        failure_code: null,
        failure_message: null,
        first_failure: null,
        http_version: '1.1',
        remote_ip: '203.0.113.7',
        tls,
      },
      expect.objectContaining({
        scheduled_at: new Date(scene.nowUs / 1000),
        kind: 0,
        outcome: 2,
        attempts: 3,
        status: null,
        failure_code: 'connect.refused',
        failure_message: 'nobody listens on 203.0.113.7:443',
        first_failure: 'dns.timeout',
        tls: null,
      }),
    ]);
    expect(await scene.db.many('select endpoint_id, scheduled_at, outcome from latest_results')).toEqual([
      { endpoint_id: 1, scheduled_at: new Date(scene.nowUs / 1000), outcome: 2 },
    ]);
    expect(await scene.db.many('select stream, probe_id, up_to, ranges::text from streams')).toEqual([
      { stream, probe_id: probe.id, up_to: 1, ranges: '{}' },
    ]);
    expect(await scene.db.many('select * from rejects')).toEqual([]);
  });
});
