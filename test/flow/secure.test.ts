import { createPublicKey } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { stringify } from 'yaml';
import { type LoadTarget, startLoadTarget } from '../../hub/demo/load-target.ts';
import { freePort } from '../../hub/process/port.ts';
import { type Database, openDatabase } from '../../hub/store/database.ts';
import { createAccessTokens } from '../../probe/deliver/access-token.ts';
import { createKafkaWay, type KafkaWay } from '../../probe/deliver/kafka-way.ts';
import { openHubLink } from '../../probe/hub/open-hub-link.ts';
import { join as joinHub } from '../../probe/join.ts';
import { openDataFolder } from '../../probe/state/data-folder.ts';
import { kafkaJarsForTests } from '../harness/kafka.ts';
import { type SecureKafka, startSecureKafka } from '../harness/secure-kafka.ts';
import { batchOf, quiet, seal, type TestProbe } from '../hub/ingest/scene.ts';
import { until } from '../hub/ingest/until.ts';
import { probeConfig } from '../probe/start-probe.ts';
import { resultKey, witnessSpools } from './spool-witness.ts';
import { buildOnce, cli, environmentOf, forgetData, startUp, type UpProcess } from './up-process.ts';

const jars = await kafkaJarsForTests();
const endpoints = 20;
const tokenTtlMs = 10_000;
const renewals = 3;
const regions = ['ap-south', 'eu-west', 'us-east'];
const topic = 'secure.parallax.results.v1';

describe.skipIf(!jars)('a network on a Kafka that believes nobody', () => {
  let folder = '';
  let data = '';
  let origin = '';
  let target: LoadTarget;
  let kafka: SecureKafka;
  let up: UpProcess;
  let db: Database;
  const env = () => ({ PARALLAX_DATA: data });

  beforeAll(async () => {
    if (!jars) return;
    await buildOnce();
    folder = await mkdtemp(join(tmpdir(), 'parallax-secure-'));
    data = join(folder, 'data');
    const listen = `127.0.0.1:${await freePort()}`;
    origin = `http://${listen}`;
    target = await startLoadTarget({
      host: '127.0.0.1',
      port: 0,
      tls: false,
      bodyBytes: 100,
      delayMs: 0,
      failing: 0.1,
      random: Math.random,
    });
    // Before the hub: neither waits for the other.
    kafka = await startSecureKafka(jars, { hub: origin, env: 'secure' });
    const documents = Array.from({ length: endpoints }, (_, index) => ({
      name: `load-${index}`,
      url: `${target.url}${index}`,
      interval: '1s',
      timeout: '500ms',
    }));
    await writeFile(join(folder, 'load.yaml'), stringify({ endpoints: documents }));
    const witnessed = regions.map((region) => join(data, 'probes', region, 'spool'));
    witness = await witnessSpools(witnessed, join(folder, 'witness'));
    const { port } = new URL(target.url);
    up = startUp(
      data,
      [
        '--listen',
        listen,
        '--endpoints',
        join(folder, 'load.yaml'),
        '--allow-network',
        `127.0.0.1/32:${port}`,
      ],
      {
        ...kafka.broker.env.hub,
        KAFKA_PARTITIONS: '4',
        KAFKA_TOKEN_TTL: `${tokenTtlMs}ms`,
        PARALLAX_ENV: 'secure',
        // No way round what is tested.
        PARALLAX_DELIVERY: 'kafka',
        LOG_LEVEL: 'debug',
        PARALLAX_LOG_LEVEL: 'debug',
      },
    );
    await up.says(/dashboard\s+http/);
    db = openDatabase({ url: await environmentOf(up.pidOf('hub'), 'DATABASE_URL') });
  });
  afterAll(async () => {
    await witness?.stop();
    await db?.end();
    await up?.end();
    await target?.close();
    await kafka?.stop();
    await forgetData(data);
    await rm(folder, { recursive: true, force: true });
  });
  let witness: Awaited<ReturnType<typeof witnessSpools>>;

  /** Requests that the hub answered, by route, method and status. */
  async function answered(route: string, status = '200'): Promise<number> {
    const text = await (await fetch(`${origin}/metrics`)).text();
    const line = new RegExp(
      `^parallax_http_requests_total\\{route="${route}",method="POST",status="${status}"\\} (\\d+)`,
      'm',
    );
    return Number(line.exec(text)?.[1] ?? 0);
  }

  async function storedKeys(): Promise<string[]> {
    const rows = await db.many<Parameters<typeof resultKey>[0]>(
      `select endpoint_id as "endpointId", region_id as "regionId", probe_id as "probeId",
              (extract(epoch from scheduled_at) * 1000000)::int8 as "scheduledAt" from results`,
    );
    return rows.map(resultKey);
  }

  test('probes produce on through the renewals of their tokens: nothing is lost, nothing produced twice', async () => {
    await until(async () => (await answered('/v1/kafka-token')) >= regions.length, 20_000);
    const before = await answered('/v1/kafka-token');
    await until(
      async () => (await answered('/v1/kafka-token')) >= before + renewals * regions.length,
      (renewals + 2) * tokenTtlMs,
    );
    await writeFile(join(folder, 'load.yaml'), 'endpoints: []\n');
    const stopped = await cli(
      ['endpoints', 'apply', join(folder, 'load.yaml'), '--source', 'up', '--prune'],
      env(),
    );
    expect(stopped).toMatchObject({ code: 0 });
    await wait(2000);
    let there: readonly string[] = [];
    let acknowledged: ReadonlySet<string> = new Set();
    await until(async () => {
      await wait(500);
      there = await storedKeys();
      acknowledged = await witness.read();
      return [...acknowledged].every((key) => there.includes(key));
    }, 60_000).catch(() => undefined);
    expect([...acknowledged].filter((key) => !there.includes(key))).toEqual([]);
    expect(there.length).toBe(acknowledged.size);
    expect(there.length).toBeGreaterThan((endpoints * regions.length * (renewals * 0.7 * tokenTtlMs)) / 1000);
    // One message a batch: no renewal made a probe send one again.
    const [sent] = await db.many<{ read: number; received: number; rejected: number }>(
      `select (select sum(next_offset) from kafka_progress)::int as read,
              (select sum(up_to) from streams)::int as received,
              (select count(*) from rejects)::int as rejected`,
    );
    expect(sent).toEqual({ read: sent?.received, received: sent?.received, rejected: 0 });
    // And nothing took the other way.
    expect(await answered('/v1/results', '204')).toBe(0);
    const logs = await Promise.all(
      regions.map((region) => readFile(join(data, 'logs', `probe-${region}.log`), 'utf8')),
    );
    expect(logs.join('').match(/cannot be delivered/g)).toBeNull();
  });

  test('a revoked probe gets no token, is cut off when the one it has ends, and what it writes till then is rejected', async () => {
    const minted = await cli(['enroll', '--region', 'eu-west', '--json'], env());
    const { token } = JSON.parse(minted.stdout) as { token: string };
    const config = { ...probeConfig, dataDir: join(folder, 'revoked'), token: { text: token } };
    const own = await openDataFolder(config.dataDir);
    const stopping = new AbortController();
    const joined = await joinHub({ config, folder: own, ca: null, log: quiet, signal: stopping.signal });
    const { probeId, kid, region } = joined.enrolled;
    const link = openHubLink({ dial: origin, hub: origin, key: joined.key, kid, env: {}, ca: null });
    const tokens = createAccessTokens(link, stopping.signal);
    const way: KafkaWay = createKafkaWay({
      access: {
        brokers: [kafka.broker.probeAddress],
        topic,
        auth: 'oauthbearer',
        tls: true,
        ca: kafka.authority.cert,
      },
      token: tokens,
      certificate: null,
      clientId: 'revoked',
      log: quiet,
    });
    const self: TestProbe = {
      id: probeId,
      name: 'revoked',
      regionId: region.id,
      kid,
      publicKey: createPublicKey(joined.key),
      privateKey: joined.key,
      status: 'active',
    };
    const send = () => way.send(seal(self, batchOf(self)), stopping.signal);
    try {
      await send();
      expect(await cli(['probes', 'revoke', String(probeId)], env())).toMatchObject({ code: 0 });
      const revokedMs = performance.now();
      await send();
      const reasons = () =>
        db.many('select distinct reason from rejects where probe_id = $1::int', [probeId]);
      await until(async () => (await reasons()).length > 0, 10_000);
      expect(await reasons()).toEqual([{ reason: 'probe_revoked' }]);
      let refused: Error | undefined;
      while (!refused && performance.now() - revokedMs < 2 * tokenTtlMs) {
        await wait(500);
        await send().catch((error: Error) => {
          refused = error;
        });
      }
      expect(performance.now() - revokedMs).toBeLessThan(tokenTtlMs + 2000);
      expect(refused?.message).toMatch(/Kafka takes no batches: the hub gives no token for Kafka: 403/);
    } finally {
      stopping.abort();
      await way.close();
      await link.close();
      await own.release();
    }
  });
});
