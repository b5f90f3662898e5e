import { type ChildProcess, spawn } from 'node:child_process';
import { generateKeyPairSync, type KeyObject, randomBytes, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { buildBundles } from '../../deploy/bundles.mjs';
import type { HubKafkaConfig } from '../../hub/config.ts';
import { readDocument } from '../../hub/endpoints/read-documents.ts';
import { kafkaClient } from '../../hub/ingest/kafka-client.ts';
import { createSender } from '../../hub/ingest/kafka-producer.ts';
import { createTopics } from '../../hub/ingest/kafka-topics.ts';
import { topicNames } from '../../hub/ingest/topics.ts';
import { freePort } from '../../hub/process/port.ts';
import { readStoreConfig } from '../../hub/read-store-config.ts';
import { type Database, openDatabase } from '../../hub/store/database.ts';
import { ensureRegion } from '../../hub/store/ensure-region.ts';
import { insertProbe, nextProbeId } from '../../hub/store/insert-probe.ts';
import { insertEndpoints } from '../../hub/store/write-endpoints.ts';
import { signEndpointRow } from '../../hub/trust/endpoint-rows.ts';
import { loadHubKeys } from '../../hub/trust/load-keys.ts';
import { signProbeRow } from '../../hub/trust/probe-rows.ts';
import { ed25519Thumbprint } from '../../shared/signing.ts';
import { root } from '../harness/imports.ts';
import { testDatabase } from '../harness/postgres.ts';
import { batchOf, newStream, quiet, resultOf, seal, type TestProbe } from '../hub/ingest/scene.ts';
import { until } from '../hub/ingest/until.ts';

/** A hub with the role ingest alone, of the built bundle, in a process of its own. */
export interface Replica {
  readonly pid: number;
  /** Its log and what it said, line by line. */
  readonly lines: readonly string[];
  /** How it ended; null while it runs. */
  code(): number | null;
  signal(name: NodeJS.Signals): void;
  ready(): Promise<boolean>;
  untilReady(): Promise<void>;
  /** SIGTERM, or what is given; resolves to the exit code. */
  end(name?: NodeJS.Signals): Promise<number | null>;
}

/** One database and one topic for several replicas, and a probe whose batches flow at a steady pace. */
export interface ReplicaScene {
  readonly db: Database;
  readonly config: HubKafkaConfig;
  readonly topic: string;
  readonly env: Readonly<Record<string, string>>;
  start(): Promise<Replica>;
  /** Sends one batch of one result and resolves when Kafka has it. The same stream always lies in one partition. */
  send(stream?: string): Promise<void>;
  /** Sends until the function that it returns is called, which resolves when all is in Kafka. */
  flow(everyMs: number): () => Promise<void>;
  sent(): number;
  readonly streams: readonly string[];
  /** Waits until all that was sent is stored; throws with what is missing. */
  untilStored(withinMs: number): Promise<void>;
  /** What must hold whatever happened: each row once, and progress at the end of the log. */
  audit(): Promise<object>;
  end(): Promise<void>;
}

const partitions = 6;
const streamCount = 24;

export async function makeReplicaScene(kafkaAddress: string): Promise<ReplicaScene> {
  const folder = await mkdtemp(join(tmpdir(), 'parallax-replicas-'));
  const outdir = join(root, 'node_modules/.cache/parallax-replicas');
  await mkdir(outdir, { recursive: true });
  await buildBundles({ outdir, quiet: true });
  const database = await testDatabase();
  const db = openDatabase({ url: database.url, maxConnections: 3 });
  const environment = `replicas-${randomBytes(4).toString('hex')}`;
  const publicUrl = 'http://hub.example';
  const keysDir = join(folder, 'keys');
  const env = {
    DATABASE_URL: database.url,
    PARALLAX_KEYS: keysDir,
    PARALLAX_SECRET: randomBytes(32).toString('base64'),
    PARALLAX_PUBLIC_URL: publicUrl,
    PARALLAX_ENV: environment,
    KAFKA_BROKERS: kafkaAddress,
    KAFKA_PARTITIONS: String(partitions),
    LOG_LEVEL: 'info',
  };
  const { kafka: config } = readStoreConfig(env);
  if (!config) throw new Error('no KAFKA_BROKERS');
  await createTopics(config, environment, quiet);
  const { hmac } = await loadHubKeys({ dir: keysDir, publicUrl, now: () => Date.now() * 1000 });
  const probe = await enrolled(db, hmac);
  await insertEndpoints(db, [signEndpointRow(hmac, endpoint())]);

  const topic = topicNames(environment).results;
  const sender = createSender(kafkaClient(config, quiet), topic, quiet);
  const streams = Array.from({ length: streamCount }, newStream);
  const seqs = new Map<string, number>();
  const beganUs = Math.floor(Date.now() / 1000) * 1_000_000;
  const replicas: Replica[] = [];
  let sent = 0;

  async function send(stream = streams[sent % streamCount] ?? ''): Promise<void> {
    const seq = (seqs.get(stream) ?? 0) + 1;
    seqs.set(stream, seq);
    sent += 1;
    const results = [resultOf(probe, beganUs - sent * 1_000_000)];
    await sender.send(seal(probe, batchOf(probe, { stream, seq, results })));
  }

  const rows = async () =>
    (await db.one<{ count: number }>('select count(*)::int4 as count from results')).count;

  return {
    db,
    config,
    topic,
    env,
    streams,
    send,
    sent: () => sent,
    async start() {
      const replica = await startReplica(join(outdir, 'parallax.js'), env);
      replicas.push(replica);
      return replica;
    },
    flow(everyMs) {
      let flowing = true;
      const pending = new Set<Promise<void>>();
      const done = (async () => {
        while (flowing) {
          const one = send().finally(() => pending.delete(one));
          pending.add(one);
          await wait(everyMs);
        }
        await Promise.all(pending);
      })();
      return () => {
        flowing = false;
        return done;
      };
    },
    async untilStored(withinMs) {
      await until(async () => (await rows()) === sent, withinMs).catch(async () => {
        throw new Error(`${await rows()} of ${sent} are stored after ${withinMs} ms`);
      });
    },
    async audit() {
      const { read, ...facts } = await db.one<{ read: number }>(
        `select (select count(*) from results)::int4 as rows,
           (select count(*) from rejects)::int4 as rejects,
           (select coalesce(sum(count), 0) from reject_counts)::int4 as refused,
           (select coalesce(sum(up_to), 0) from streams)::int4 as taken,
           (select count(*) from streams where ranges <> '{}')::int4 as open,
           (select coalesce(sum(next_offset), 0) from kafka_progress)::int4 as read`,
      );
      const admin = kafkaClient(config, quiet).admin();
      await admin.connect();
      const ends = await admin.fetchTopicOffsets(topic).finally(() => admin.disconnect());
      const end = ends.reduce((sum, { high }) => sum + Number(high), 0);
      return { ...facts, toRead: end - read };
    },
    async end() {
      await Promise.all(replicas.map((replica) => replica.end('SIGKILL')));
      await sender.stop();
      await db.end();
      await database.drop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** What audit() says where nothing is lost or doubled. */
export function whole({ sent }: Pick<ReplicaScene, 'sent'>): object {
  return { rows: sent(), taken: sent(), rejects: 0, refused: 0, open: 0, toRead: 0 };
}

async function enrolled(db: Database, hmac: Uint8Array): Promise<TestProbe> {
  const { id: regionId } = await ensureRegion(db, 'eu-west');
  const keys: { publicKey: KeyObject; privateKey: KeyObject } = generateKeyPairSync('ed25519');
  const { x: publicKey = '' } = keys.publicKey.export({ format: 'jwk' });
  const thumbprint = ed25519Thumbprint(publicKey);
  const id = await nextProbeId(db);
  const row = { id, name: 'replicas', regionId, region: 'eu-west', publicKey, thumbprint };
  await insertProbe(db, signProbeRow(hmac, { ...row, status: 'active', enrollment: randomUUID() }));
  return { id, name: 'replicas', regionId, kid: thumbprint, status: 'active', ...keys };
}

function endpoint() {
  const { document } = readDocument({ name: 'shop', url: 'https://shop.example/', interval: '60s' });
  return {
    id: 1,
    name: 'shop',
    rev: 1,
    spec: document,
    sealed: {},
    source: 'test',
    changedAtUs: Date.now() * 1000,
    deleted: false,
  };
}

async function startReplica(bundle: string, env: Readonly<Record<string, string>>): Promise<Replica> {
  const port = await freePort();
  const args = ['--enable-source-maps', bundle, 'hub', '--roles', 'ingest', '--listen', `127.0.0.1:${port}`];
  const child: ChildProcess = spawn(process.execPath, args, {
    env: { PATH: process.env.PATH, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const lines: string[] = [];
  for (const stream of [child.stdout, child.stderr]) {
    let rest = '';
    stream?.setEncoding('utf8').on('data', (text: string) => {
      const parts = (rest + text).split('\n');
      rest = parts.pop() ?? '';
      lines.push(...parts);
    });
  }
  const exited = once(child, 'exit');
  const isOver = () => child.exitCode !== null || child.signalCode !== null;
  const ready = () =>
    fetch(`http://127.0.0.1:${port}/readyz`, { signal: AbortSignal.timeout(2000) }).then(
      (answer) => answer.ok,
      () => false,
    );
  return {
    pid: child.pid ?? 0,
    lines,
    code: () => child.exitCode,
    signal: (name) => void child.kill(name),
    ready,
    async untilReady() {
      await until(async () => isOver() || (await ready()), 60_000);
      if (isOver()) throw new Error(`the hub ended with ${child.exitCode}:\n${lines.slice(-5).join('\n')}`);
    },
    async end(name = 'SIGTERM') {
      if (isOver()) return child.exitCode;
      child.kill(name);
      await exited;
      return child.exitCode;
    },
  };
}
