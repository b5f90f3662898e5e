import { randomBytes } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { HubKafkaConfig } from '../../../hub/config.ts';
import type { Bus } from '../../../hub/ingest/bus.ts';
import { createDirectBus } from '../../../hub/ingest/direct-bus.ts';
import { createKafkaBus } from '../../../hub/ingest/kafka-bus.ts';
import { createTopics } from '../../../hub/ingest/kafka-topics.ts';
import { topicNames } from '../../../hub/ingest/topics.ts';
import type { OutboxOptions } from '../../../probe/deliver/open-outbox.ts';
import type { Outbox } from '../../../probe/deliver/outbox.ts';
import type { KafkaAccess } from '../../../shared/lease.ts';
import { kafkaForTests } from '../../harness/kafka.ts';
import { makeScene, quiet, resultOf, type Scene, type TestProbe } from '../../hub/ingest/scene.ts';
import { until } from '../../hub/ingest/until.ts';
import { type HubScene, hubScene } from './hub-scene.ts';
import { newFolder } from './scene.ts';

const kafka = await kafkaForTests();

describe.skipIf(!kafka)('delivery by Kafka', { timeout: 120_000 }, () => {
  const address = kafka?.address ?? '';
  let scene: Scene;
  let probe: TestProbe;
  let log: Bus;
  let direct: Bus;
  let hub: HubScene;
  let access: KafkaAccess;
  let folder: Awaited<ReturnType<typeof newFolder>>;
  let outbox: Outbox;
  let added: number;

  beforeEach(async () => {
    added = 0;
    scene = await makeScene();
    probe = await scene.probe('eu-west');
    const env = `test-${randomBytes(4).toString('hex')}`;
    const config: HubKafkaConfig = {
      brokers: [address],
      clientId: 'test',
      groupId: env,
      partitions: 3,
      replication: 1,
      retentionMs: 3_600_000,
      tls: null,
      sasl: null,
      probes: null,
    };
    await createTopics(config, env, quiet);
    log = createKafkaBus({
      config,
      env,
      db: scene.db,
      log: quiet,
      onFatal: () => undefined,
      retryMs: [50, 200],
    });
    direct = createDirectBus({ log: quiet });
    await log.start(scene.ingest.handle);
    await direct.start(scene.ingest.handle);
    // The relay does not go through Kafka here: what it carries is told apart, and it works while the broker is dead.
    hub = await hubScene(scene, probe, direct);
    access = { brokers: [address], topic: topicNames(env).results, auth: 'none', tls: false, ca: null };
    folder = await newFolder();
  });
  afterEach(async () => {
    await outbox.stop(AbortSignal.abort());
    await hub.close();
    await log.stop();
    await direct.stop();
    await scene.end();
    await folder.remove();
  });

  async function open(delivery: OutboxOptions['delivery']): Promise<void> {
    outbox = await hub.open(folder.path, {
      delivery,
      timing: { restMs: [100, 500], kafkaTimeoutMs: 15_000 },
    });
    await hub.lease(outbox, access);
  }
  async function add(count: number, urgent = false): Promise<void> {
    const all = Array.from({ length: count }, () => {
      added += 1;
      return outbox.add(resultOf(probe, scene.nowUs - added * 1000), urgent);
    });
    await Promise.all(all);
  }
  async function allStored(): Promise<void> {
    const done = async () => {
      await hub.lease(outbox, access);
      return (await scene.count('results')) >= added && (await hub.knowsAll(outbox));
    };
    await until(done, 60_000);
    expect(await scene.count('results')).toBe(added);
    expect(await scene.count('rejects')).toBe(0);
  }
  const passedKafka = async () =>
    (await scene.db.one<{ sum: number | null }>('select sum(next_offset)::int8 from kafka_progress')).sum ??
    0;

  test('all of it, through the topic, nothing through the relay', async () => {
    let relayed = 0;
    hub.answers(() => {
      relayed += 1;
      return 'pass';
    });
    await open('kafka');
    await add(1500);
    await allStored();
    expect(relayed).toBe(0);
    expect(await passedKafka()).toBe(outbox.status().streams[0]?.lastSeq);
    expect(outbox.status()).toMatchObject({ way: 'kafka', trouble: null, dropped: 0 });
  });

  test('a broker killed and started again: everything arrives once', async () => {
    if (!kafka) return;
    await open('kafka');
    await add(500);
    await allStored();
    process.kill(kafka.pid(), 'SIGKILL');
    await kafka.exited();
    await add(50, true);
    await until(() => outbox.status().trouble !== null, 60_000);
    expect(outbox.status().trouble).toContain('Kafka takes no batches');
    await outbox.stop(AbortSignal.abort());
    await open('kafka');
    await add(50, true);
    await kafka.restart();
    await add(50, true);
    await allStored();
    expect(outbox.status().trouble).toBeNull();
  });

  test('auto: Kafka once it has acknowledged a batch, the relay while the broker is dead, then Kafka again', async () => {
    if (!kafka) return;
    await open('auto');
    for (let round = 0; outbox.status().way !== 'kafka' && round < 200; round += 1) {
      await add(1, true);
      await until(() => scene.count('results').then((count) => count >= added));
    }
    expect(outbox.status().way).toBe('kafka');
    await until(async () => (await passedKafka()) > 0, 20_000);
    await add(100);
    await allStored();

    process.kill(kafka.pid(), 'SIGKILL');
    await kafka.exited();
    await add(20, true);
    await until(() => outbox.status().way === 'relay', 60_000);
    await add(20, true);
    await until(() => scene.count('results').then((count) => count >= added), 60_000);
    expect(outbox.status().trouble).toBeNull();

    await kafka.restart();
    for (let round = 0; outbox.status().way !== 'kafka' && round < 200; round += 1) {
      await add(1, true);
      await until(() => scene.count('results').then((count) => count >= added), 60_000);
    }
    expect(outbox.status().way).toBe('kafka');
    await add(100);
    await allStored();
  });

  test('auto, and a hub that names no Kafka: the relay', async () => {
    outbox = await hub.open(folder.path, { delivery: 'auto' });
    await add(10);
    await until(async () => (await scene.count('results')) === 10);
    expect(outbox.status().way).toBe('relay');
  });

  test('kafka, and a hub that names none: says what to do, and loses nothing', async () => {
    outbox = await hub.open(folder.path, { delivery: 'kafka' });
    await add(10);
    await until(() => outbox.status().trouble !== null);
    expect(outbox.status().trouble).toContain('--delivery auto');
    await allStored();
  });

  test('a topic that does not exist is never made: says what to do', async () => {
    const named = access;
    access = { ...access, topic: 'nobody-made-this' };
    await open('kafka');
    await add(10);
    await until(() => outbox.status().trouble !== null, 30_000);
    expect(outbox.status().trouble).toContain('parallax migrate up');
    access = named;
    await allStored();
  });
});
