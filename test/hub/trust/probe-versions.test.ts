import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { type Database, openDatabase } from '../../../hub/store/database.ts';
import { readProbeVersions } from '../../../hub/trust/probe-versions.ts';
import { type TestDatabase, testDatabase } from '../../harness/postgres.ts';
import { codeOf } from '../hub-scene.ts';
import { until } from '../ingest/until.ts';
import { type LeaseScene, leaseScene } from './lease-scene.ts';

const nowS = Math.floor(Date.now() / 1000);
const day = 86_400;
const terms = { batchSchemas: [1, 2, 3], newest: '1.4.0', oldest: '1.2.0' };

describe('the days of grace', () => {
  let database: TestDatabase;
  let db: Database;
  beforeAll(async () => {
    database = await testDatabase();
    db = openDatabase({ url: database.url });
  });
  afterAll(async () => {
    await db.end();
    await database.drop();
  });
  const read = (oldest: string, atS: number) =>
    readProbeVersions(db, { newest: '1.4.0', oldest, nowUs: atS * 1_000_000 });

  test('count from the first hub that wanted probes so new, over restarts, replicas and steps back', async () => {
    const first = await read('1.2.0', nowS);
    expect(first).toMatchObject({ newest: '1.4.0', oldest: '1.2.0', refusedFrom: nowS + 30 * day });
    expect(first.batchSchemas).toEqual([1, 2, 3]);
    expect((await read('1.2.0', nowS + 40 * day)).refusedFrom).toBe(nowS + 30 * day);
    expect((await read('1.1.0', nowS + 41 * day)).refusedFrom).toBe(nowS + 71 * day);
    expect((await read('1.2.0', nowS + 42 * day)).refusedFrom).toBe(nowS + 30 * day);
    const two = await Promise.all([read('1.3.0', nowS + 50 * day), read('1.3.0', nowS + 51 * day)]);
    expect(new Set(two.map(({ refusedFrom }) => refusedFrom)).size).toBe(1);
  });
});

describe('a probe that is too old', () => {
  let scene: LeaseScene | undefined;
  afterEach(() => scene?.end());

  test('is told so in its lease until then', async () => {
    const versions = { ...terms, refusedFrom: nowS + day };
    scene = await leaseScene({ waitMs: 50, versions });
    const probe = await scene.join('lab');
    // The documents of its region are made when the first asks.
    await scene.askUntil(probe, () => true);
    expect((await scene.ask(probe, { version: '1.1.0' })).versions).toEqual(versions);
  });

  test('gets no lease after that, is told what to do, and keeps no shards', async () => {
    scene = await leaseScene({ waitMs: 50, versions: { ...terms, refusedFrom: nowS - 1 } });
    const probe = await scene.join('lab');
    const refused = await scene.post(probe, { version: '1.1.0' });
    const { detail } = (await refused.clone().json()) as { detail: string };
    expect(await codeOf(refused)).toEqual([403, 'probe.too_old']);
    expect(detail).toBe(
      'this probe is of version 1.1.0, and this hub takes 1.2.0 or newer: update it (the hub is of version 1.4.0)',
    );
    expect(refused.headers.get('retry-after')).toBe('60');
    expect(await scene.trust.db.many('select 1 from probe_presence')).toEqual([]);
    // Updated, it is welcome at once.
    const updated = scene.post;
    await until(async () => (await updated(probe, { version: '1.2.0' })).status === 200);
  });
});
