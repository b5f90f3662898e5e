import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { relayRoutes } from '../../../hub/api/results-relay.ts';
import type { Bus } from '../../../hub/ingest/bus.ts';
import { createDirectBus } from '../../../hub/ingest/direct-bus.ts';
import { createKafkaBus } from '../../../hub/ingest/kafka-bus.ts';
import { createTopics } from '../../../hub/ingest/kafka-topics.ts';
import { Problem } from '../../../hub/problem.ts';
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../../../hub/store/embedded/start.ts';
import { migrateUp, withSchema } from '../../../hub/store/migrate.ts';
import { migrationsDir, readMigrations } from '../../../hub/store/migrations.ts';
import type { SealedBatch } from '../../../shared/batch.ts';
import { relayHeadersOf, relayPath } from '../../../shared/relay.ts';
import { kafkaForTests } from '../../harness/kafka.ts';
import { batchOf, makeScene, newStream, quiet, resultOf, type Scene, seal, type TestProbe } from './scene.ts';
import { until } from './until.ts';

const kafka = await kafkaForTests();
const migrations = await readMigrations(migrationsDir());

let folder: string;
let postgres: EmbeddedPostgres;
let scene: Scene;
let probe: TestProbe;
let bus: Bus;

const startPostgres = () =>
  startEmbeddedPostgres({
    dataDir: join(folder, 'postgres'),
    log: () => undefined,
    signal: AbortSignal.timeout(60_000),
  });

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'parallax-away-'));
  await chmod(folder, 0o711);
  postgres = await startPostgres();
  await withSchema(postgres.url, (db) => migrateUp(db, migrations));
  scene = await makeScene({
    database: { url: postgres.url, drop: async () => undefined },
    queryTimeoutMs: 1000,
  });
  probe = await scene.probe('eu-west');
});
afterEach(async () => {
  await bus.stop();
  await scene.end();
  await postgres.stop();
  await rm(folder, { recursive: true, force: true });
});

/** The postmaster and all it has forked. */
function serverPids(): number[] {
  const children = execFileSync('ps', ['-o', 'pid=', '--ppid', String(postgres.pid)], { encoding: 'utf8' });
  return [...children.trim().split(/\s+/).map(Number), postgres.pid];
}

const signalServer = (signal: NodeJS.Signals) => {
  for (const pid of serverPids()) process.kill(pid, signal);
};

let stream = '';
let seq = 0;

/** About 15 KB that no compression makes smaller. */
function nextBatch(): SealedBatch {
  if (seq % 500 === 0) stream = newStream();
  seq += 1;
  const results = Array.from({ length: 100 }, (_, index) =>
    resultOf(probe, scene.nowUs - seq * 1000, {
      endpointId: index + 1,
      outcome: 'down',
      failure: { code: 'connect.refused', source: 'target', message: randomBytes(90).toString('base64') },
    }),
  );
  return seal(probe, batchOf(probe, { stream, seq: ((seq - 1) % 500) + 1, results }));
}

function relay() {
  const app = relayRoutes({ bus, prove: async (_, read) => ({ probe, body: await read(probe) }) });
  app.onError((error) => {
    if (!(error instanceof Problem)) throw error;
    return new Response(error.message, { status: error.status, headers: error.headers });
  });
  return (batch: SealedBatch) =>
    app.request(relayPath, {
      method: 'POST',
      headers: relayHeadersOf(batch),
      body: Buffer.from(batch.value),
    });
}

const mebibytes = () => {
  globalThis.gc?.();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return (heapUsed + arrayBuffers) / 1024 / 1024;
};

function suite(make: () => Promise<Bus>): void {
  beforeEach(async () => {
    seq = 0;
    bus = await make();
    await bus.start(scene.ingest.handle);
    await until(() => bus.status().ready, 30_000);
  });

  /** Like a probe: the same batch again until it is taken. Returns how often it was told to come back later. */
  async function deliver(batch: SealedBatch, post: ReturnType<typeof relay>): Promise<number> {
    for (let later = 0; ; later += 1) {
      const answer = await post(batch);
      if (answer.status === 204) return later;
      expect(answer.status).toBe(503);
      expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(0);
      await wait(50);
    }
  }

  const everythingStored = (batches: number) =>
    until(async () => (await scene.count('results').catch(() => -1)) === batches * 100, 60_000);

  test('PostgreSQL stands still and goes on: what was taken is stored once, the rest is told to come back', async () => {
    const post = relay();
    await deliver(nextBatch(), post);
    await everythingStored(1);
    signalServer('SIGSTOP');
    const before = mebibytes();
    let taken = 1;
    let later = 0;
    const deadline = performance.now() + 8000;
    try {
      while (performance.now() < deadline && later < 200) {
        const answer = await post(nextBatch());
        if (answer.status === 204) taken += 1;
        else later += 1;
        await wait(2);
      }
      expect(later > 0 || bus.status().kind === 'kafka').toBe(true);
      expect(mebibytes() - before).toBeLessThan(60);
      await until(() => !bus.status().ready, 30_000);
      expect(bus.status().reason).not.toBeNull();
    } finally {
      signalServer('SIGCONT');
    }
    await everythingStored(taken);
    await until(() => bus.status().ready, 20_000);
    await deliver(nextBatch(), post);
    await everythingStored(taken + 1);
    expect(await scene.count('rejects')).toBe(0);
  }, 120_000);

  test('PostgreSQL is killed and started again under load: nothing is lost, nothing is stored twice', async () => {
    const post = relay();
    const total = 150;
    const flow = (async () => {
      for (let sent = 0; sent < total; sent += 1) {
        await deliver(nextBatch(), post);
        await wait(10);
      }
    })();
    await until(async () => (await scene.count('results')) > 1000);
    process.kill(postgres.pid, 'SIGKILL');
    await postgres.exited;
    await wait(1000);
    postgres = await startPostgres();
    await flow;
    await everythingStored(total);
    expect(await scene.count('rejects')).toBe(0);
    const { streams } = await scene.db.one<{ streams: number }>(
      `select count(*) filter (where up_to = ${total}) as streams from streams`,
    );
    expect(streams).toBe(1);
  }, 120_000);
}

describe('the direct bus, while the database is away', () => {
  suite(async () => createDirectBus({ log: quiet, maxBytes: 4 * 1024 * 1024, retryMs: [50, 200] }));
});

describe.skipIf(!kafka)('the Kafka bus, while the database is away', () => {
  suite(async () => {
    const config = {
      brokers: [kafka?.address ?? ''],
      clientId: 'test',
      groupId: 'test',
      partitions: 4,
      replication: 1,
      retentionMs: 3_600_000,
      tls: null,
      sasl: null,
      probes: null,
    };
    const env = `away-${randomBytes(4).toString('hex')}`;
    await createTopics(config, env, quiet);
    const onFatal = (error: Error) => {
      throw error;
    };
    return createKafkaBus({ config, env, db: scene.db, log: quiet, onFatal, retryMs: [50, 200] });
  });
});
