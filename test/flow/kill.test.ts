import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { stringify } from 'yaml';
import { type LoadTarget, startLoadTarget } from '../../hub/demo/load-target.ts';
import { freePort } from '../../hub/process/port.ts';
import { type Database, openDatabase } from '../../hub/store/database.ts';
import { kafkaForTests } from '../harness/kafka.ts';
import { until } from '../hub/ingest/until.ts';
import { resultKey, witnessSpools } from './spool-witness.ts';
import { buildOnce, cli, environmentOf, forgetData, startUp, type UpProcess } from './up-process.ts';

/** 67 endpoints a second from three regions: 201 checks a second. */
const endpoints = 67;
const calmMs = 6000;
const regions = ['ap-south', 'eu-west', 'us-east'];

const kafka = await kafkaForTests();
let folder = '';
let target: LoadTarget;
let up: UpProcess | undefined;

beforeAll(async () => {
  await buildOnce();
  folder = await mkdtemp(join(tmpdir(), 'parallax-kill-'));
  target = await startLoadTarget({
    host: '127.0.0.1',
    port: 0,
    tls: false,
    bodyBytes: 100,
    delayMs: 0,
    failing: 0.1,
    random: Math.random,
  });
});
afterAll(async () => {
  await up?.end();
  await target?.close();
  await forgetData(join(folder, 'data'));
  await rm(folder, { recursive: true, force: true });
});

interface StoredRow {
  readonly endpointId: number;
  readonly regionId: number;
  readonly scheduledAt: number;
  readonly probeId: number;
}

async function storedKeys(db: Database): Promise<string[]> {
  const rows = await db.many<StoredRow>(
    `select endpoint_id as "endpointId", region_id as "regionId", probe_id as "probeId",
            (extract(epoch from scheduled_at) * 1000000)::int8 as "scheduledAt" from results`,
  );
  return rows.map(resultKey);
}

/** Kills it and waits until it is back, in the words of whoever watches over it. */
async function kill(running: UpProcess, component: string): Promise<void> {
  const pid = running.pidOf(component);
  process.kill(pid, 'SIGKILL');
  await until(() => running.pidOf(component) !== pid, 60_000);
}

describe.skipIf(!kafka)('kill -9 under 200 checks a second', () => {
  test('of hub, probe, PostgreSQL and Kafka in turn: everything acknowledged is stored exactly once', async () => {
    if (!kafka) return;
    const { port } = new URL(target.url);
    const file = join(folder, 'load.yaml');
    const documents = Array.from({ length: endpoints }, (_, index) => ({
      name: `load-${index}`,
      url: `${target.url}${index}`,
      interval: '1s',
      timeout: '500ms',
    }));
    await writeFile(file, stringify({ endpoints: documents }));
    const data = join(folder, 'data');
    const witness = await witnessSpools(
      regions.map((region) => join(data, 'probes', region, 'spool')),
      join(folder, 'witness'),
    );
    const listen = `127.0.0.1:${await freePort()}`;
    const running = startUp(
      data,
      ['--listen', listen, '--endpoints', file, '--allow-network', `127.0.0.1/32:${port}`],
      { KAFKA_BROKERS: kafka.address },
    );
    up = running;
    await running.says(/dashboard\s+http/);
    const db = openDatabase({ url: await environmentOf(running.pidOf('hub'), 'DATABASE_URL') });
    try {
      await wait(calmMs);
      const before = target.answered();
      await wait(2000);
      // The load is what it says, before anything is broken.
      expect((target.answered() - before) / 2).toBeGreaterThan(170);

      await kill(running, 'hub');
      await wait(calmMs);
      await kill(running, 'probe us-east');
      await wait(calmMs);
      await kill(running, 'postgres');
      await wait(calmMs);
      process.kill(kafka.pid(), 'SIGKILL');
      await kafka.exited();
      await wait(3000);
      await kafka.restart();
      await wait(2 * calmMs);

      // No more checks; what is under way comes to its end by itself.
      await writeFile(file, 'endpoints: []\n');
      const env = { PARALLAX_DATA: data };
      const stopped = await cli(['endpoints', 'apply', file, '--source', 'up', '--prune'], env);
      expect(stopped).toMatchObject({ code: 0 });
      let answered = -1;
      await until(async () => {
        const still = answered === target.answered();
        answered = target.answered();
        await wait(1500);
        return still;
      }, 60_000);
      let there = new Set<string>();
      let missing: string[] = [];
      await until(async () => {
        await wait(1000);
        there = new Set(await storedKeys(db));
        missing = [...(await witness.read())].filter((key) => !there.has(key));
        return missing.length === 0;
      }, 90_000).catch(() => undefined);
      const acknowledged = await witness.stop();
      const stored = await storedKeys(db);
      const { gaps } = await db.one<{ gaps: number }>(
        'select coalesce(sum(results), 0)::int8 as gaps from gaps',
      );
      const rejects = await db.many('select reason, detail from rejects limit 5');
      expect(rejects).toEqual([]);
      expect(gaps).toBe(0);
      expect(missing).toEqual([]);
      expect(stored.length).toBe(new Set(stored).size);
      // And nothing came from elsewhere: the witness saw all there is.
      expect(stored.filter((key) => !acknowledged.has(key))).toEqual([]);
      expect(stored.length).toBeGreaterThan(200 * 20);
      const holes = await db.many("select stream from streams where ranges <> '{}'");
      expect(holes).toEqual([]);
      console.log(`${stored.length} results acknowledged and stored, each once`);
    } finally {
      await db.end();
    }
    expect(await running.ctrlC()).toBe(0);
  }, 400_000);
});
