import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdir } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type Database, openDatabase } from '../../hub/store/database.ts';
import { kafkaForTests } from '../harness/kafka.ts';
import { until } from '../hub/ingest/until.ts';
import { type OwnNetwork, ownNetwork } from './own-network.ts';
import { type OwnPostgres, postgresTools, startOwnPostgres } from './own-postgres.ts';
import { resultKey, witnessSpools } from './spool-witness.ts';
import { buildOnce } from './up-process.ts';

const bin = await postgresTools();
const kafka = bin === null ? null : await kafkaForTests();
const regions = ['eu-west', 'us-east'] as const;
const bearer = 'the secret of the shop';
let postgres: OwnPostgres;
let network: OwnNetwork;
let target: Server;
/** Requests that came with the right credential, and others. */
let asked: { right: number; wrong: number };
const opened: Database[] = [];

beforeAll(buildOnce);
beforeEach(async () => {
  asked = { right: 0, wrong: 0 };
  target = createServer((request, response) => {
    if (request.headers.authorization === `Bearer ${bearer}`) asked.right += 1;
    else asked.wrong += 1;
    response.end('fine');
  }).listen(0, '127.0.0.1');
  await once(target, 'listening');
  network = await ownNetwork();
  postgres = await startOwnPostgres(bin ?? '');
  await postgres.sql('postgres', 'create database parallax');
});
afterEach(async () => {
  await network.end();
  for (const db of opened.splice(0)) await db.end();
  await postgres.end();
  target.closeAllConnections();
  target.close();
});

function open(name: string): Database {
  const db = openDatabase({ url: postgres.url(name), maxConnections: 2 });
  opened.push(db);
  return db;
}

async function startChecking(): Promise<void> {
  const { port } = target.address() as AddressInfo;
  for (const region of regions) await network.startProbe(region, region, [`127.0.0.1/32:${port}`]);
  const documents = Array.from({ length: 20 }, (_, n) => ({
    name: `shop-${n}`,
    url: `http://127.0.0.1:${port}/${n}`,
    interval: '1s',
    timeout: '500ms',
    request: { bearer },
  }));
  await network.apply(documents);
}

const countOf = async (db: Database, where = 'true') =>
  (await db.one<{ count: number }>(`select count(*)::int as count from results where ${where}`)).count;
const newest = async (db: Database) =>
  (await db.one<{ at: Date }>("select coalesce(max(scheduled_at), 'epoch') as at from results")).at;
const probesNow = (db: Database) =>
  db.many<{ id: number; name: string; version: number }>(
    `select p.id, p.name, s.lease_version as version from probes p join probe_presence s on s.probe_id = p.id
     where s.seen_at > now() - interval '15 seconds' order by 1`,
  );

async function versionOf(db: Database, id: number): Promise<number> {
  return (await probesNow(db)).find((probe) => probe.id === id)?.version ?? 0;
}

describe.skipIf(bin === null)('a backup', () => {
  test('by pg_dump, restored beside the old database while probes run on: they go on, and what is lost is told', async () => {
    const hub = await network.startHub({ DATABASE_URL: postgres.url('parallax') });
    await startChecking();
    const before = open('parallax');
    await until(async () => (await countOf(before)) > 200, 60_000);

    const dump = join(await postgres.folder('dumps'), 'parallax.dump');
    await postgres.tool('pg_dump', ['-Fc', '-f', dump, 'parallax']);
    const dumped = await countOf(before);
    await until(async () => (await countOf(before)) > dumped + 200, 60_000);
    const leases = await probesNow(before);
    expect(leases.map(({ name }) => name)).toEqual(['eu-west', 'us-east']);
    await hub.stop('SIGKILL');

    await postgres.sql('postgres', 'create database restored');
    await postgres.tool('pg_restore', ['--no-owner', '-d', 'restored', dump]);
    const env = { DATABASE_URL: postgres.url('restored') };
    // Its keys and its secret belong to a backup: without them the hub says so and changes nothing.
    await expect(
      network.startHub({ ...env, PARALLAX_SECRET: randomBytes(32).toString('base64') }),
    ).rejects.toThrow(/PARALLAX_SECRET is not the one that the credentials of 20 endpoints/);
    const otherKeys = join(network.folder, 'other-keys');
    await mkdir(otherKeys, { mode: 0o700 });
    await expect(network.startHub({ ...env, PARALLAX_KEYS: otherKeys })).rejects.toThrow(/keys/i);

    const again = await network.startHub(env);
    const after = open('restored');
    const atStart = await countOf(after);
    expect(atStart).toBeLessThan(await countOf(before));
    const since = await newest(before);
    for (const { id, version } of leases) {
      await until(
        async () =>
          (await countOf(after, `probe_id = ${id} and scheduled_at > '${since.toISOString()}'`)) > 50,
        60_000,
      );
      // The same probes with the same keys, and no lease that a probe would take for an older one.
      await until(async () => (await versionOf(after, id)) > version, 60_000);
    }
    expect(asked.wrong).toBe(0);
    expect(await after.many('select reason, count from reject_counts')).toEqual([]);
    // What was durable after the dump is gone here, and its probes have deleted it: the streams have a hole, seen.
    const holes = await after.many("select stream from streams where ranges <> '{}'");
    expect(holes.length).toBeGreaterThan(0);
    const status = await network.cli(['status']);
    expect(status.stdout).toMatch(/holes? in streams: (eu-west|us-east) \d+ to \d+/);
    expect(await again.stop()).toBe(0);
  }, 240_000);
});

describe.skipIf(kafka === null)('point-in-time recovery with Kafka', () => {
  test('loses nothing: the log is read again from where the recovered database stood', async () => {
    const env = {
      DATABASE_URL: postgres.url('parallax'),
      KAFKA_BROKERS: kafka?.address ?? '',
      KAFKA_PROBE_BROKERS: kafka?.address ?? '',
      KAFKA_PROBE_AUTH: 'none',
      KAFKA_PARTITIONS: '4',
      PARALLAX_ENV: `backup-${randomBytes(4).toString('hex')}`,
    };
    const hub = await network.startHub(env);
    const witness = await witnessSpools(
      regions.map((region) => network.spool(region)),
      join(network.folder, 'witness'),
    );
    await startChecking();
    let db = open('parallax');
    await until(async () => (await countOf(db)) > 200, 60_000);

    const backup = await postgres.folder('base');
    await postgres.tool('pg_basebackup', ['-D', backup, '-X', 'stream', '-c', 'fast']);
    const taken = await countOf(db);
    await until(async () => (await countOf(db)) > taken + 200, 60_000);
    const target = new Date();
    const then = await countOf(db);
    await until(async () => (await countOf(db)) > then + 300, 60_000);
    // So that what comes before the target is in the archive, whatever becomes of this machine.
    await postgres.sql('parallax', 'select pg_switch_wal()');
    await new Promise((resolve) => setTimeout(resolve, 3000));
    const leases = await probesNow(db);
    const lost = await countOf(db);
    await db.end();
    opened.splice(opened.indexOf(db), 1);
    await postgres.kill();
    // The hub waits for its database; the probes check on and send to Kafka.
    await postgres.recover(backup, target);

    db = open('parallax');
    // The instant of recovery lies before what was seen last: else this would prove nothing.
    const recovered = await countOf(db, `scheduled_at < '${target.toISOString()}'`);
    expect(recovered).toBeLessThan(lost);
    await until(async () => (await countOf(db)) > lost + 200, 90_000);
    await network.apply([]);
    let missing: string[] = [];
    await until(async () => {
      const there = new Set(
        (
          await db.many<Parameters<typeof resultKey>[0]>(
            `select endpoint_id as "endpointId", region_id as "regionId", probe_id as "probeId",
               (extract(epoch from scheduled_at) * 1000000)::int8 as "scheduledAt" from results`,
          )
        ).map(resultKey),
      );
      missing = [...(await witness.read())].filter((key) => !there.has(key));
      return missing.length === 0;
    }, 60_000).catch(() => undefined);
    await witness.stop();
    expect(missing).toEqual([]);
    expect(await db.many('select reason, count from reject_counts')).toEqual([]);
    expect(await db.many('select reason from gaps')).toEqual([]);
    expect(await db.many("select stream from streams where ranges <> '{}'")).toEqual([]);
    for (const { id, version } of leases) {
      await until(async () => (await versionOf(db, id)) > version, 60_000);
    }
    expect(asked.wrong).toBe(0);
    expect(await hub.stop()).toBe(0);
  }, 300_000);
});
