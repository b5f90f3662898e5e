import { randomBytes, randomUUID } from 'node:crypto';
import { chmod, mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startBroker } from '../../deploy/kafka/broker.ts';
import { findKafka } from '../../deploy/kafka/java.ts';
import { startLoadTarget } from '../../hub/demo/load-target.ts';
import { topicNames } from '../../hub/ingest/topics.ts';
import { freePort } from '../../hub/process/port.ts';
import { tellChange } from '../../hub/store/changes.ts';
import { type Database, openDatabase } from '../../hub/store/database.ts';
import { startEmbeddedPostgres } from '../../hub/store/embedded/start.ts';
import { ensureRegion } from '../../hub/store/ensure-region.ts';
import { insertProbe, nextProbeId } from '../../hub/store/insert-probe.ts';
import { readHubKeys } from '../../hub/trust/load-keys.ts';
import { signProbeRow } from '../../hub/trust/probe-rows.ts';
import { benchProbeKey } from '../bench/scale/probe-key.ts';
import { type OwnProcess, ownNetwork } from '../flow/own-network.ts';
import { buildOnce } from '../flow/up-process.ts';
import { type Complaints, complaintsIn, complaintsOf } from './complaints.ts';
import { askable, openLiveHeap } from './live-heap.ts';
import type { ProducerOrder } from './producer-child.ts';
import type { Watched } from './watch.ts';

/** A whole network on this machine: a few real probes, and what many more would send. */
export interface SoakNetwork {
  readonly db: Database;
  readonly watched: readonly Watched[];
  readonly order: ProducerOrder;
  /** Of each process, since it was ready. */
  complaints(): Promise<ReadonlyMap<string, Complaints>>;
  status(): Promise<string>;
  end(): Promise<void>;
}

const realRegions = ['eu-west', 'us-east', 'ap-south'] as const;
const syntheticProbes = 10;
/** 100 checks a second from each real probe. */
const realEndpoints = 100;

export async function startSoakNetwork(rate: number, say: (line: string) => void): Promise<SoakNetwork> {
  const ending: (() => Promise<unknown>)[] = [];
  const end = async () => {
    for (const one of ending.splice(0).reverse()) await one().catch((error: unknown) => say(String(error)));
  };
  try {
    const signal = AbortSignal.timeout(600_000);
    const folder = await mkdtemp(join(tmpdir(), 'parallax-soak-'));
    ending.push(() => rm(folder, { recursive: true, force: true }));
    await chmod(folder, 0o711);
    say('building');
    await buildOnce();
    const jars = await findKafka(process.env, say, signal);
    const logs = { postgres: join(folder, 'postgres.log'), kafka: join(folder, 'kafka', 'kafka.log') };
    const postgres = await startEmbeddedPostgres({
      dataDir: join(folder, 'postgres'),
      logFile: logs.postgres,
      log: () => undefined,
      signal,
      settings: {
        shared_buffers: '512MB',
        max_wal_size: '4GB',
        autovacuum_naptime: '15s',
        log_checkpoints: 'off',
      },
    });
    ending.push(() => postgres.stop());
    const kafka = await startBroker({ jars, port: await freePort(), dataDir: join(folder, 'kafka'), signal });
    ending.push(() => kafka.stop());
    const target = await startLoadTarget({
      host: '127.0.0.1',
      port: 0,
      tls: false,
      bodyBytes: 500,
      delayMs: 0,
      failing: 0.02,
      random: Math.random,
    });
    ending.push(() => target.close());
    process.env.PARALLAX_LOG_LEVEL = 'warn';
    process.env.NODE_OPTIONS = askable;
    const network = await ownNetwork();
    ending.push(() => network.end());
    const env = `soak-${randomBytes(3).toString('hex')}`;
    say('starting the hub');
    const hub = await network.startHub({
      DATABASE_URL: postgres.url,
      LOG_LEVEL: 'warn',
      PARALLAX_ENV: env,
      KAFKA_BROKERS: kafka.address,
      KAFKA_PROBE_BROKERS: kafka.address,
      KAFKA_PROBE_AUTH: 'none',
      KAFKA_PARTITIONS: '8',
    });
    const db = openDatabase({ url: postgres.url, maxConnections: 2, applicationName: 'parallax-soak' });
    ending.push(() => db.end());
    const probes = await addSyntheticProbes(db, network.keysDir);
    const { port } = new URL(target.url);
    const real: { readonly name: string; readonly process: OwnProcess }[] = [];
    for (const region of realRegions) {
      real.push({
        name: `probe ${region}`,
        process: await network.startProbe(region, region, [`127.0.0.1/32:${port}`]),
      });
    }
    say('writing endpoints');
    const synthetic = Math.max(100, Math.ceil(rate / syntheticProbes));
    await network.apply([
      ...Array.from({ length: realEndpoints }, (_, n) => ({
        name: `real-${n}`,
        url: `${target.url}${n}`,
        interval: '1s',
        timeout: '500ms',
        regions: [...realRegions],
      })),
      ...Array.from({ length: synthetic }, (_, n) => ({
        name: `synthetic-${n}`,
        url: `https://synthetic-${n}.example/`,
        interval: '1s',
        timeout: '500ms',
        regions: probes.map(({ region }) => region),
      })),
    ]);
    const rows = await db.many<{ id: number }>(
      "select id from endpoints where name like 'synthetic-%' order by id",
    );
    const processes = [{ name: 'hub', process: hub }, ...real];
    // A broker that has just started is not found at once: what is said while all come up is not what is looked for.
    const before = new Map(processes.map(({ name, process }) => [name, process.said().length]));
    delete process.env.NODE_OPTIONS;
    const ours: Watched[] = [];
    for (const { name, process } of processes) {
      const heap = await openLiveHeap(process.said());
      ending.push(async () => heap.close());
      // A probe has its budget (DESIGN); a hub of a few hundred endpoints has nothing to hold a gigabyte for.
      const bound = { mb: name === 'hub' ? 1000 : 150, descriptors: 500 };
      ours.push({ name, pid: process.pid, heap, bound });
    }
    const from = { postgres: await sizeOf(logs.postgres), kafka: await sizeOf(logs.kafka) };
    return {
      db,
      watched: [
        ...ours,
        { name: 'postgres', pid: postgres.pid, heap: null, bound: { mb: 600, descriptors: 10_000 } },
        { name: 'kafka', pid: kafka.pid, heap: null, bound: { mb: 800, descriptors: 2000 } },
      ],
      order: {
        brokers: [kafka.address],
        topic: topicNames(env).results,
        rate,
        probes,
        endpointIds: rows.map(({ id }) => id),
      },
      async complaints() {
        return new Map([
          ...processes.map(
            ({ name, process }) => [name, complaintsOf(process.said().slice(before.get(name)))] as const,
          ),
          ['postgres', await complaintsIn(logs.postgres, from.postgres, /\b(WARNING|ERROR|FATAL|PANIC):/)],
          ['kafka', await complaintsIn(logs.kafka, from.kafka, /\b(WARN|ERROR|FATAL)\b/)],
        ]);
      },
      status: async () => (await network.cli(['status'])).stdout,
      end,
    };
  } catch (error) {
    await end();
    throw error;
  }
}

async function addSyntheticProbes(db: Database, keysDir: string) {
  const { hmac } = await readHubKeys(keysDir);
  return db.transaction(async (sql) => {
    const probes = [];
    for (let n = 1; n <= syntheticProbes; n += 1) {
      const { id: regionId, name: region } = await ensureRegion(sql, `synthetic-${n}`);
      const id = await nextProbeId(sql);
      const { publicKey, kid } = benchProbeKey(n);
      const row = {
        id,
        name: `synthetic-${n}`,
        regionId,
        region,
        publicKey,
        thumbprint: kid,
        status: 'active' as const,
        enrollment: randomUUID(),
      };
      await insertProbe(sql, signProbeRow(hmac, row));
      probes.push({ id, regionId, region, key: n, stream: randomBytes(16).toString('hex') });
    }
    await tellChange(sql, 'probes');
    return probes;
  });
}

async function sizeOf(file: string): Promise<number> {
  return stat(file).then(
    ({ size }) => size,
    () => 0,
  );
}
