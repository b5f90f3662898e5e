import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import type { HubConfig } from '../../../hub/config.ts';
import { type Certificates, createCertificates } from '../../../hub/ingest/certificates.ts';
import { storeBatches } from '../../../hub/ingest/store-batches.ts';
import type { VerifiedBatch } from '../../../hub/ingest/verify.ts';
import { startStore } from '../../../hub/start-store.ts';
import type { Sql } from '../../../hub/store/database.ts';
import { listResults } from '../../../hub/store/list-results.ts';
import { deleteForgottenCertificates } from '../../../hub/store/upsert-certificates.ts';
import type { Result, TlsFacts } from '../../../shared/result.ts';
import { batchOf, makeScene, newStream, quiet, resultOf, type Scene, seal, type TestProbe } from './scene.ts';
import { until } from './until.ts';

let scene: Scene;
let probe: TestProbe;
beforeAll(async () => {
  scene = await makeScene();
  probe = await scene.probe('eu-west');
});
afterAll(() => scene.end());
beforeEach(async () => {
  await scene.db.run('truncate results, certificates');
});

const facts = (n: number, over: Partial<TlsFacts> = {}): TlsFacts => ({
  version: 'TLSv1.3',
  cipher: 'TLS_AES_128_GCM_SHA256',
  notAfter: 1_900_000_000,
  issuer: 'CN="a \\ b", O=Größe \u{1f512}',
  fingerprint: n.toString(16).padStart(64, '0'),
  ...over,
});

const shown = (endpointId: number, tls: TlsFacts | null): Result =>
  resultOf(probe, scene.nowUs, { endpointId, tls });

function batch(results: Result[]): VerifiedBatch {
  const claim = { stream: newStream(), seq: 1, probeId: probe.id, gaps: [] };
  const incoming = { ...seal(probe, batchOf(probe)), position: null };
  return { incoming, claim, regionId: probe.regionId, results, rejects: [], doubt: null };
}

async function idsOf(
  certificates: Certificates,
  results: Result[],
  sql: Sql = scene.db,
): Promise<readonly (bigint | null)[]> {
  const one = batch(results);
  return (await certificates.idsOf(sql, [one])).get(one) ?? [];
}

async function storedOf(endpointId: number): Promise<(TlsFacts | null)[]> {
  const query = { endpointId, regionIds: [probe.regionId], fromUs: null, toUs: null, after: null, limit: 10 };
  return (await listResults(scene.db, query)).map(({ tls }) => tls);
}

test('facts stand once, and each result shows its own', async () => {
  const sameFingerprint = facts(1, { cipher: 'TLS_AES_256_GCM_SHA384' });
  const all = [facts(1), facts(1), sameFingerprint, facts(2), null];
  await storeBatches(scene.db, [batch(all.map((tls, index) => shown(index + 1, tls)))]);
  for (const [index, tls] of all.entries()) expect(await storedOf(index + 1)).toEqual([tls]);
  expect(await scene.count('certificates')).toBe(3);
  expect(await scene.db.one('select count(*)::int4 as inline from results where tls is not null')).toEqual({
    inline: 0,
  });
});

test('a row of before, with the facts in it, shows them still', async () => {
  await storeBatches(scene.db, [batch([shown(1, facts(3))])]);
  await scene.db.run('update results set tls = (select facts from certificates), tls_id = null');
  await scene.db.run('truncate certificates');
  expect(await storedOf(1)).toEqual([facts(3)]);
});

test('thousands that nobody has seen stand in their own rows past a bound', async () => {
  const certificates = createCertificates();
  const results = Array.from({ length: 2500 }, (_, n) => shown(n + 1, facts(n)));
  const ids = await idsOf(certificates, results);
  expect(await scene.count('certificates')).toBe(2000);
  expect(ids.filter((id) => id === null)).toHaveLength(500);
  expect(new Set(ids).size).toBe(2001);
});

test('ids do not depend on who made them or in which order', async () => {
  const [one, two] = [shown(1, facts(1)), shown(2, facts(2))];
  const ids = await idsOf(createCertificates(), [one, two]);
  await scene.db.run('truncate certificates');
  expect(await idsOf(createCertificates(), [two, one])).toEqual(ids.toReversed());
});

test('many facts under one fingerprint are told apart, and forgotten before they take room', async () => {
  const certificates = createCertificates();
  const results = Array.from({ length: 20 }, (_, n) => shown(n + 1, facts(1, { issuer: `CN=${n}` })));
  const ids = await idsOf(certificates, results);
  expect(new Set(ids).size).toBe(20);
  expect(await idsOf(certificates, results)).toEqual(ids);
});

test('replicas that learn the same at once do not wait in a circle', async () => {
  const results = Array.from({ length: 500 }, (_, n) => shown(n + 1, facts(n)));
  const learners = Array.from({ length: 8 }, (_, n) => (n % 2 ? results : results.toReversed()));
  await Promise.all(learners.map((each) => idsOf(createCertificates(), each)));
  expect(await scene.count('certificates')).toBe(500);
});

test('what is seen each day stays, what was not seen for longer than results are kept goes', async () => {
  let nowMs = Date.UTC(2026, 5, 1, 23, 59);
  const certificates = createCertificates(() => nowMs);
  await idsOf(certificates, [shown(1, facts(1)), shown(2, facts(2))]);
  await scene.db.run('update certificates set seen_on = seen_on - 10');
  // The same day nothing is asked; on the next each is noted that is still there.
  await idsOf(certificates, [shown(1, facts(1))]);
  expect(
    await scene.db.one('select count(*)::int4 as seen from certificates where seen_on = current_date'),
  ).toEqual({
    seen: 0,
  });
  nowMs += 120_000;
  await idsOf(certificates, [shown(1, facts(1))]);
  const oldestUs = (Date.now() - 7 * 86_400_000) * 1000;
  expect(await deleteForgottenCertificates(scene.db, oldestUs)).toBe(1);
  expect(await scene.db.many('select facts from certificates')).toEqual([{ facts: facts(1) }]);
});

test('over a database that was put back to a backup facts are stored again after the first trouble', async () => {
  await storeBatches(scene.db, [batch([shown(1, facts(4))])]);
  await scene.db.run('truncate results, certificates');
  await scene.db.run('alter table streams rename to away');
  await expect(storeBatches(scene.db, [batch([shown(1, facts(4))])])).rejects.toThrow(/streams/);
  await scene.db.run('alter table away rename to streams');
  await storeBatches(scene.db, [batch([shown(1, facts(4))])]);
  expect(await storedOf(1)).toEqual([facts(4)]);
});

test('a failover while nothing is stored is seen by its broken connections', async () => {
  const config = { databaseUrl: scene.url, migrate: false, kafka: null, env: 'test' } as unknown as HubConfig;
  const { db } = await startStore(config, quiet, () => undefined, new AbortController().signal);
  try {
    await storeBatches(db, [batch([shown(1, facts(5))])]);
    const broken = until(() => db.pool().total === 0);
    await scene.db.run(
      `select pg_terminate_backend(pid) from pg_stat_activity
       where application_name = 'parallax-hub' and datname = current_database()`,
    );
    await broken;
    // What the other server did not get.
    await scene.db.run('truncate results, certificates');
    await storeBatches(db, [batch([shown(1, facts(5))])]);
    expect(await storedOf(1)).toEqual([facts(5)]);
  } finally {
    await db.end();
  }
});

test('what was forgotten while it was stored is stored again', async () => {
  const certificates = createCertificates();
  const storing = idsOf(certificates, [shown(1, facts(6))]);
  certificates.forget();
  await storing;
  await scene.db.run('truncate certificates');
  await idsOf(certificates, [shown(1, facts(6))]);
  expect(await scene.count('certificates')).toBe(1);
});

test('one that is seen again just as it was to go stays', async () => {
  await idsOf(createCertificates(), [shown(1, facts(7))]);
  await scene.db.run('update certificates set seen_on = seen_on - 30');
  const oldestUs = (Date.now() - 7 * 86_400_000) * 1000;
  let deleting: Promise<number> | null = null;
  await scene.db.transaction(async (sql) => {
    await idsOf(createCertificates(), [shown(1, facts(7))], sql);
    deleting = deleteForgottenCertificates(scene.db, oldestUs);
    await until(async () => {
      const { waiting } = await sql.one<{ waiting: number }>(
        "select count(*)::int4 as waiting from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()",
      );
      return waiting === 1;
    });
  });
  expect(await deleting).toBe(0);
  expect(await scene.count('certificates')).toBe(1);
});
