import { afterAll, describe, expect, test } from 'vitest';
import { readHubConfig } from '../../hub/read-config.ts';
import { kafkaForTests } from '../harness/kafka.ts';
import { testDatabase } from '../harness/postgres.ts';
import { runCli } from './cli-scene.ts';
import { type HubScene, startHubScene } from './hub-scene.ts';
import { until } from './ingest/until.ts';

const kafka = await kafkaForTests();
const environment = `hub-${Math.random().toString(36).slice(2, 10)}`;

describe.skipIf(!kafka)('a hub with Kafka', () => {
  const brokers = kafka?.address ?? '';
  let hub: HubScene | undefined;
  afterAll(() => hub?.stop());

  test('`migrate up` makes the topics, and says so once', async () => {
    const database = await testDatabase();
    const env = {
      DATABASE_URL: database.url,
      KAFKA_BROKERS: brokers,
      KAFKA_PARTITIONS: '4',
      PARALLAX_ENV: `${environment}-cli`,
    };
    const first = await runCli(['migrate', 'up'], env);
    expect([first.code, first.out]).toEqual([
      0,
      expect.stringContaining(`topic ${environment}-cli.parallax.results.v1: made, 4 partitions`),
    ]);
    expect((await runCli(['migrate', 'up'], env)).out).toContain('results.v1: there, 4 partitions');
    await database.drop();
  });

  test('is ready when it can produce and read, and tells its lag', async () => {
    const { kafka: config } = readHubConfig({
      DATABASE_URL: 'postgresql://x/y',
      PARALLAX_KEYS: '/x',
      PARALLAX_SECRET: 'ab'.repeat(32),
      KAFKA_BROKERS: brokers,
      KAFKA_PARTITIONS: '4',
      PARALLAX_ENV: environment,
    });
    const started = await startHubScene({ kafka: config, env: environment });
    hub = started;
    await until(async () => (await started.ask('/readyz')).status === 200, 30_000);
    await until(async () =>
      /^parallax_bus_lag_messages 0$/m.test(await (await started.ask('/metrics')).text()),
    );
    expect(await (await started.ask('/metrics')).text()).toContain('parallax_bus_ready{kind="kafka"} 1');
    const beganMs = performance.now();
    await started.stop();
    hub = undefined;
    expect(performance.now() - beganMs).toBeLessThan(10_000);
    expect(started.logged().filter(({ level }) => level === 'error')).toEqual([]);
  }, 90_000);

  test('is started before Kafka, makes its topics once that is there, and reads', async () => {
    const env = `${environment}-later`;
    const { kafka: config } = readHubConfig({
      DATABASE_URL: 'postgresql://x/y',
      PARALLAX_KEYS: '/x',
      PARALLAX_SECRET: 'ab'.repeat(32),
      KAFKA_BROKERS: brokers,
      KAFKA_PARTITIONS: '2',
      PARALLAX_ENV: env,
    });
    process.kill(kafka?.pid() ?? 0, 'SIGKILL');
    await kafka?.exited();
    const started = await startHubScene({ kafka: config, env });
    hub = started;
    expect((await started.ask('/readyz')).status).toBe(503);
    await kafka?.restart();
    await until(async () => (await started.ask('/readyz')).status === 200, 60_000);
    const made = started.logged().find(({ msg }) => msg === 'topics made');
    expect(made).toMatchObject({ topics: [`${env}.parallax.results.v1`, `${env}.parallax.host-metrics.v1`] });
    await started.stop();
    hub = undefined;
  }, 180_000);
});
