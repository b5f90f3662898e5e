import { randomBytes } from 'node:crypto';
import { setTimeout as wait } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { HubKafkaConfig } from '../../../hub/config.ts';
import type { Bus } from '../../../hub/ingest/bus.ts';
import { createKafkaBus } from '../../../hub/ingest/kafka-bus.ts';
import { kafkaClient } from '../../../hub/ingest/kafka-client.ts';
import { createTopics, withAdmin } from '../../../hub/ingest/kafka-topics.ts';
import { topicNames } from '../../../hub/ingest/topics.ts';
import { kafkaForTests } from '../../harness/kafka.ts';
import { busSuite } from './bus-suite.ts';
import { batchOf, makeScene, newStream, quiet, resultOf, type Scene, seal, type TestProbe } from './scene.ts';
import { until } from './until.ts';

const kafka = await kafkaForTests();

function configOf(address: string, over: Partial<HubKafkaConfig> = {}): HubKafkaConfig {
  return {
    brokers: [address],
    clientId: 'test',
    groupId: `test-${randomBytes(4).toString('hex')}`,
    partitions: 3,
    replication: 1,
    retentionMs: 3_600_000,
    tls: null,
    sasl: null,
    probes: null,
    ...over,
  };
}

const newEnv = () => `test-${randomBytes(4).toString('hex')}`;

describe.skipIf(!kafka)('the Kafka bus', () => {
  const address = kafka?.address ?? '';

  busSuite(async (scene) => {
    const config = configOf(address);
    const env = newEnv();
    await createTopics(config, env, quiet);
    return createKafkaBus({ config, env, db: scene.db, log: quiet, onFatal: fatal, retryMs: [50, 200] });
  });

  const fatals: Error[] = [];
  const fatal = (error: Error) => fatals.push(error);

  describe('its progress in the log', () => {
    let scene: Scene;
    let probe: TestProbe;
    let config: HubKafkaConfig;
    let env: string;
    let buses: Bus[];
    beforeEach(async () => {
      scene = await makeScene();
      probe = await scene.probe('eu-west');
      config = configOf(address);
      env = newEnv();
      buses = [];
      fatals.length = 0;
      sent = 0;
      await createTopics(config, env, quiet);
    });
    afterEach(async () => {
      await Promise.all(buses.map((bus) => bus.stop()));
      await scene.end();
    });

    function newBus(over: Partial<HubKafkaConfig> = {}): Bus {
      const bus = createKafkaBus({
        config: { ...config, ...over },
        env,
        db: scene.db,
        log: quiet,
        onFatal: fatal,
        retryMs: [50, 200],
        lookEveryMs: 500,
        patienceMs: 1000,
      });
      buses.push(bus);
      return bus;
    }

    async function started(over: Partial<HubKafkaConfig> = {}): Promise<Bus> {
      const bus = newBus(over);
      await bus.start(scene.ingest.handle);
      await until(() => bus.status().ready, 30_000);
      return bus;
    }

    /** At once, or, where the broker of a busy machine cannot be asked at once, a little later. */
    async function refusalOf(bus: Bus): Promise<unknown> {
      await bus.start(scene.ingest.handle).catch((error: Error) => fatals.push(error));
      await until(() => fatals.length > 0, 20_000);
      return fatals[0];
    }

    let sent = 0;
    let stream = '';
    async function publish(bus: Bus, count: number, perStream = 1): Promise<void> {
      for (let left = count; left > 0; left -= 1) {
        sent += 1;
        const results = [resultOf(probe, scene.nowUs - sent * 1_000_000)];
        const index = (sent - 1) % perStream;
        if (index === 0) stream = newStream();
        const batch = seal(probe, batchOf(probe, { stream, seq: index + 1, results }));
        await bus.publish(batch, AbortSignal.timeout(10_000));
      }
    }

    const stored = (count: number) => until(async () => (await scene.count('results')) === count, 20_000);
    const messagesPassed = async () =>
      (await scene.db.one<{ sum: number }>('select sum(next_offset)::int8 from kafka_progress')).sum;

    test('stands in PostgreSQL with the rows, whatever Kafka itself remembers', async () => {
      const first = await started();
      await publish(first, 10);
      await stored(10);
      expect(await messagesPassed()).toBe(10);
      await first.stop();
      // Another group has no committed offset at all: it begins where PostgreSQL says, not at the beginning.
      const second = await started({ groupId: 'another' });
      await publish(second, 3);
      await stored(13);
      expect(await messagesPassed()).toBe(13);
      expect(await scene.count('rejects')).toBe(0);
    });

    test('goes back with a database that was restored from a backup: what it lacks is read again', async () => {
      const first = await started();
      await publish(first, 10);
      await stored(10);
      await first.stop();
      await scene.db.run('delete from results');
      await scene.db.run('delete from streams');
      await scene.db.run('update kafka_progress set next_offset = 0');
      await started();
      await stored(10);
      expect(await messagesPassed()).toBe(10);
    });

    test('is not doubled by members that come and go while batches flow', async () => {
      const first = await started();
      let publishing = true;
      let published = 0;
      const flow = (async () => {
        while (publishing) {
          await publish(first, 1, 50);
          published += 1;
          await wait(5);
        }
      })();
      for (let round = 0; round < 2; round += 1) {
        const other = await started();
        await until(async () => (other.status().lag ?? 0) === 0, 20_000);
        await other.stop();
      }
      publishing = false;
      await flow;
      await stored(published);
      expect(published).toBeGreaterThan(20);
      expect(await messagesPassed()).toBe(published);
      expect(await scene.count('rejects')).toBe(0);
    }, 60_000);

    test('is the authority while the hub runs: ahead of it nothing is stored twice, behind it all is read again', async () => {
      const first = await started();
      await publish(first, 30);
      await stored(30);
      // As if another member had read the next one of each partition.
      await scene.db.run('update kafka_progress set next_offset = next_offset + 1');
      await publish(first, 60);
      await until(async () => (await messagesPassed()) === 90, 20_000);
      expect(await scene.count('results')).toBe(90 - 3);
      await scene.db.run('update kafka_progress set next_offset = 0');
      await publish(first, 30);
      await stored(120);
      expect(await messagesPassed()).toBe(120);
      expect(await scene.count('rejects')).toBe(0);
    });

    test('another cluster is refused before a message is read', async () => {
      await scene.db.run(
        `insert into kafka_progress (cluster_id, topic, kafka_partition, next_offset)
         values ('some-other', $1, 0, 7)`,
        [topicNames(env).results],
      );
      expect(await refusalOf(newBus())).toMatchObject({ code: 'kafka.other_cluster' });
    });

    test('a value past the log end is refused', async () => {
      const first = await started();
      await publish(first, 1);
      await stored(1);
      await first.stop();
      await scene.db.run('update kafka_progress set next_offset = 1000');
      expect(await refusalOf(newBus())).toMatchObject({ code: 'kafka.past_end' });
    });

    test('a topic made anew under the running hub is noticed and refused', async () => {
      const first = await started();
      await publish(first, 20);
      await stored(20);
      await withAdmin(kafkaClient(config, quiet), async (admin) => {
        await admin.deleteTopics({ topics: [topicNames(env).results] });
        await until(async () => !(await admin.listTopics()).includes(topicNames(env).results));
      });
      await createTopics(config, env, quiet);
      const other = newBus();
      for (let index = 0; index < 3; index += 1) await publish(other, 1).catch(() => undefined);
      await until(() => fatals.length > 0, 30_000);
      expect(fatals[0]).toMatchObject({ code: 'kafka.topic_anew' });
      expect(first.status()).toMatchObject({ ready: false });
    }, 60_000);

    test('what retention took before it was read is passed over, and the rest is read', async () => {
      const first = await started();
      await publish(first, 6);
      await stored(6);
      await first.stop();
      const producer = newBus();
      await publish(producer, 12);
      await withAdmin(kafkaClient(config, quiet), async (admin) => {
        const topic = topicNames(env).results;
        const ends = await admin.fetchTopicOffsets(topic);
        const [full] = [...ends].sort((a, b) => Number(b.high) - Number(a.high));
        const { partition, high } = full ?? { partition: 0, high: '0' };
        await admin.deleteTopicRecords({
          topic,
          partitions: [{ partition, offset: String(Number(high) - 1) }],
        });
      });
      await started();
      await until(async () => (await messagesPassed()) === 18, 20_000);
      const rows = await scene.count('results');
      expect(rows).toBeGreaterThan(6);
      expect(rows).toBeLessThan(18);
    });

    test('a missing topic ends the start with what to do', async () => {
      env = newEnv();
      await expect(newBus().start(scene.ingest.handle)).rejects.toThrow(/parallax migrate up/);
      await expect(publish(newBus(), 1)).rejects.toMatchObject({
        status: 503,
        message: expect.stringMatching(/does not exist: run `parallax migrate up`/),
      });
    });

    test('messages that are no batches are refused one by one and hold nobody up', async () => {
      const bus = await started();
      const producer = kafkaClient(config, quiet).producer();
      await producer.connect();
      await producer.send({
        topic: topicNames(env).results,
        acks: -1,
        messages: [
          { value: null },
          { value: 'hello' },
          { value: 'hello', headers: { kid: 'x'.repeat(10_000), sig: 'y', schema: ['1', '2'] } },
          { key: 'k', value: Buffer.alloc(500_000), headers: { kid: probe.kid, sig: 'y', schema: '1' } },
        ],
      });
      await producer.disconnect();
      await publish(bus, 2);
      await stored(2);
      await until(async () => (await scene.count('rejects')) === 4);
      const rejects = await scene.db.many(
        'select reason, length(content) as size from rejects order by 1, 2',
      );
      expect(rejects).toEqual([
        { reason: 'bad_signature', size: 65_536 },
        { reason: 'headers', size: 0 },
        { reason: 'headers', size: 5 },
        { reason: 'unknown_probe', size: 5 },
      ]);
    });

    test('a broker that was killed is waited for: 503 to the relay, then everything goes on', async () => {
      if (!kafka) return;
      const bus = await started();
      await publish(bus, 3);
      await stored(3);
      process.kill(kafka.pid(), 'SIGKILL');
      await kafka.exited();
      await expect(publish(bus, 1)).rejects.toMatchObject({ status: 503 });
      await kafka.restart();
      await until(async () => {
        await publish(bus, 1).catch(() => undefined);
        return (await scene.count('results')) >= 5;
      }, 60_000);
      expect(fatals).toEqual([]);
    }, 120_000);
  });

  describe('topics', () => {
    test('are made with the log own time, once, and left alone after', async () => {
      const env = newEnv();
      const config = configOf(address);
      const made = await createTopics(config, env, quiet);
      expect(made).toEqual([
        { topic: `${env}.parallax.results.v1`, state: 'made', partitions: 3 },
        { topic: `${env}.parallax.host-metrics.v1`, state: 'made', partitions: 3 },
      ]);
      const again = await createTopics({ ...config, partitions: 9 }, env, quiet);
      expect(again.map(({ state, partitions }) => [state, partitions])).toEqual([
        ['there', 3],
        ['there', 3],
      ]);
    });
  });
});
