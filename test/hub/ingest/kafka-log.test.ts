import { setTimeout as wait } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { openDatabase } from '../../../hub/store/database.ts';
import { kafkaForTests } from '../../harness/kafka.ts';
import { type KafkaScene, makeKafkaScene } from './kafka-scene.ts';
import { until } from './until.ts';

const kafka = await kafkaForTests();

describe.skipIf(!kafka)('what happens to the log', () => {
  let scene: KafkaScene;
  beforeEach(async () => {
    scene = await makeKafkaScene(kafka?.address ?? '');
  });
  afterEach(() => scene.end());

  const allIsWell = async () => {
    expect(await scene.passed()).toBe(scene.published());
    expect(await scene.count('rejects')).toBe(0);
    expect(scene.refusals).toEqual([]);
  };

  test('partitions that were added are read from their beginning, without a restart', async () => {
    const [first, second] = [await scene.read(), await scene.read()];
    await scene.publish(first, 10);
    await scene.stored();
    await scene.admin((admin) =>
      admin.createPartitions({ topicPartitions: [{ topic: scene.topic, count: 9 }] }),
    );
    // One that knows of them: what is written there must not wait for somebody to start anew.
    await scene.publish(scene.bus(), 60);
    await scene.stored();
    const { partitions } = await scene.db.one<{ partitions: number }>(
      'select count(*)::int4 as partitions from kafka_progress where next_offset > 0',
    );
    expect(partitions).toBeGreaterThan(3);
    await until(async () => {
      const owned = [first, second].flatMap((bus) => bus.status().partitions ?? []);
      return new Set(owned.map(({ partition }) => partition)).size === 9;
    });
    await allIsWell();
  }, 60_000);

  test.each([
    ['to the beginning', 0],
    ['to the end', 1_000_000],
  ])('offsets that somebody reset in Kafka itself, %s, change nothing', async (_where, far) => {
    const first = await scene.read();
    await scene.publish(first, 12);
    await scene.stored();
    await first.stop();
    await scene.publish(scene.bus(), 9);
    await scene.admin(async (admin) => {
      const ends = await admin.fetchTopicOffsets(scene.topic);
      const partitions = ends.map(({ partition, high }) => ({
        partition,
        offset: String(Math.min(far, Number(high))),
      }));
      await admin.setOffsets({ groupId: scene.config.groupId, topic: scene.topic, partitions });
    });
    await scene.read();
    await scene.stored();
    await allIsWell();
  });

  test('a topic that was made anew under the running hub and has grown past our place is refused', async () => {
    const running = await scene.read();
    await scene.publish(running, 9);
    await scene.stored();
    await scene.deleteTopic();
    await scene.makeTopic();
    await scene.publish(scene.bus(), 60).catch(() => undefined);
    await until(() => scene.refusals.length > 0, 30_000);
    expect(scene.refusals[0]).toMatchObject({
      code: 'kafka.topic_anew',
      message: expect.stringMatching(/`parallax kafka repair`/),
    });
    expect(running.status()).toMatchObject({ ready: false, reason: scene.refusals[0]?.message });
  }, 60_000);

  test('a topic that is gone for several looks is refused, with what to do', async () => {
    const running = await scene.read();
    await scene.deleteTopic();
    await until(() => scene.refusals.length > 0, 30_000);
    expect(scene.refusals[0]).toMatchObject({ code: 'kafka.topic_missing' });
    expect(running.status().ready).toBe(false);
  }, 60_000);

  test('what retention takes away while the hub cannot read is passed over, also without a new seat', async () => {
    const held = Promise.withResolvers<void>();
    let began = false;
    const running = await scene.read(async (batches, signal) => {
      began = true;
      await held.promise;
      await scene.ingest.handle(batches, signal);
    });
    await scene.publish(running, 1);
    await until(() => began);
    await scene.publish(scene.bus(), 59);
    await scene.admin(async (admin) => {
      const ends = await admin.fetchTopicOffsets(scene.topic);
      const partitions = ends.map(({ partition, high }) => ({
        partition,
        offset: String(Math.max(0, Number(high) - 2)),
      }));
      await admin.deleteTopicRecords({ topic: scene.topic, partitions });
    });
    held.resolve();
    await until(async () => (await scene.passed()) === 60, 30_000);
    expect(await scene.count('results')).toBeGreaterThanOrEqual(6);
    expect(scene.refusals).toEqual([]);
    const missing = 60 - (await scene.count('results'));
    expect(running.status().dropped).toBe(missing);
    expect(
      await scene.db.one(
        `select sum((after->>'messages')::int)::int4 as messages from audit_log where action = 'alarm.log_dropped'`,
      ),
    ).toEqual({ messages: missing });
    await scene.publish(running, 5);
    await until(async () => (await scene.passed()) === 65, 30_000);
  }, 60_000);

  test('what waits is told by partition, also while nothing can be stored', async () => {
    const running = await scene.read(async () => {
      throw new Error('the database is away');
    });
    await scene.publish(scene.bus(), 30);
    await until(() => running.status().lag === 30, 20_000);
    const { partitions, slowest, reason } = running.status();
    expect(reason).toBe('the database is away');
    expect(partitions?.map(({ partition }) => partition)).toEqual([0, 1, 2]);
    expect(slowest?.lag).toBe(Math.max(...(partitions ?? []).map(({ lag }) => lag)));
  }, 60_000);

  test('members that come and go all the time hold nothing up, lose nothing and double nothing', async () => {
    const steady = await scene.read();
    let flowing = true;
    const flow = (async () => {
      const producer = scene.bus();
      // Each is a stream of its own, and a probe may have 256.
      while (flowing && scene.published() < 250) {
        await scene.publish(producer, 1);
        await wait(40);
      }
    })();
    const visits = Array.from({ length: 12 }, async (_, index) => {
      await wait(index * 700);
      const guest = scene.bus();
      await guest.start(scene.ingest.handle);
      await wait(1000);
      await guest.stop();
    });
    await Promise.all(visits);
    flowing = false;
    await flow;
    // One that left while it was still joining is forgotten with its session, after 10 s.
    await scene.stored(60_000);
    expect(scene.published()).toBeGreaterThan(30);
    await until(async () => steady.status().lag === 0 && steady.status().partitions?.length === 3, 60_000);
    await allIsWell();
  }, 180_000);

  test('brokers that stand still, and break no connection, are told of until they go on', async () => {
    if (!kafka) return;
    const bus = scene.bus({ lookEveryMs: 300, silentMs: 2000 });
    await bus.start(scene.ingest.handle);
    await until(() => bus.status().ready, 30_000);
    process.kill(kafka.pid(), 'SIGSTOP');
    try {
      await until(() => !bus.status().ready, 10_000);
      expect(bus.status().reason).toMatch(/^Kafka has not answered for [2-9] s$/);
    } finally {
      process.kill(kafka.pid(), 'SIGCONT');
    }
    await until(() => bus.status().ready, 60_000);
  }, 120_000);

  test('a stop waits neither for brokers that stand still nor for a database that is away', async () => {
    if (!kafka) return;
    const away = openDatabase({ url: 'postgresql://127.0.0.1:1/away' });
    const [reading, waiting, homeless] = [await scene.read(), scene.bus(), scene.bus({ db: away })];
    await homeless.start(scene.ingest.handle);
    expect(homeless.status().reason).toMatch(/ECONNREFUSED/);
    process.kill(kafka.pid(), 'SIGSTOP');
    try {
      void waiting.start(scene.ingest.handle).catch(() => undefined);
      await wait(300);
      const beganMs = performance.now();
      await Promise.all([reading.stop(), waiting.stop(), homeless.stop()]);
      expect(performance.now() - beganMs).toBeLessThan(5000);
    } finally {
      process.kill(kafka.pid(), 'SIGCONT');
      await away.end();
    }
  }, 60_000);
});
