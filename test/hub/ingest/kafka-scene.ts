import { randomBytes } from 'node:crypto';
import type { HubKafkaConfig } from '../../../hub/config.ts';
import type { BatchHandler, Bus } from '../../../hub/ingest/bus.ts';
import { createKafkaBus, type KafkaBusOptions } from '../../../hub/ingest/kafka-bus.ts';
import { kafkaClient } from '../../../hub/ingest/kafka-client.ts';
import { createTopics, withAdmin } from '../../../hub/ingest/kafka-topics.ts';
import { type KafkaRefusal, topicNames } from '../../../hub/ingest/topics.ts';
import { batchOf, makeScene, newStream, quiet, resultOf, type Scene, seal } from './scene.ts';
import { until } from './until.ts';

/** A scene with a topic of its own on a real broker, and members that read it. */
export interface KafkaScene extends Scene {
  readonly config: HubKafkaConfig;
  readonly topic: string;
  readonly refusals: KafkaRefusal[];
  /** A bus that looks at the log twice a second; `read` has it read, until it is ready. */
  bus(over?: Partial<KafkaBusOptions>): Bus;
  read(handler?: BatchHandler): Promise<Bus>;
  /** So many batches of one result each, each in a stream of its own. */
  publish(bus: Bus, count: number): Promise<void>;
  published(): number;
  /** Waits until everything that was published is stored. */
  stored(withinMs?: number): Promise<void>;
  /** The sum of kafka_progress. */
  passed(): Promise<number>;
  admin: <T>(work: Parameters<typeof withAdmin<T>>[1]) => Promise<T>;
  makeTopic(): Promise<void>;
  deleteTopic(): Promise<void>;
}

export async function makeKafkaScene(address: string): Promise<KafkaScene> {
  const scene = await makeScene();
  const probe = await scene.probe('eu-west');
  const env = `test-${randomBytes(4).toString('hex')}`;
  const topic = topicNames(env).results;
  const config: HubKafkaConfig = {
    brokers: [address],
    clientId: 'test',
    groupId: `${env}.ingest`,
    partitions: 3,
    replication: 1,
    retentionMs: 3_600_000,
    tls: null,
    sasl: null,
    probes: null,
  };
  const refusals: KafkaRefusal[] = [];
  const buses: Bus[] = [];
  let published = 0;
  const admin: KafkaScene['admin'] = (work) => withAdmin(kafkaClient(config, quiet), work);
  /** A leader may be named before it takes its seat. */
  async function makeTopic(): Promise<void> {
    await createTopics(config, env, quiet);
    const leads = () => admin((client) => client.fetchTopicOffsets(topic)).then((ends) => ends.length > 0);
    await until(() => leads().catch(() => false), 20_000);
  }
  await makeTopic();

  function bus(over: Partial<KafkaBusOptions> = {}): Bus {
    const made = createKafkaBus({
      config,
      env,
      db: scene.db,
      log: quiet,
      onFatal: (refusal) => refusals.push(refusal),
      retryMs: [50, 200],
      lookEveryMs: 500,
      patienceMs: 1000,
      ...over,
    });
    buses.push(made);
    return made;
  }

  return {
    ...scene,
    config,
    topic,
    refusals,
    bus,
    async read(handler = scene.ingest.handle) {
      const made = bus();
      await made.start(handler);
      await until(() => made.status().ready, 30_000);
      return made;
    },
    async publish(to, count) {
      for (let left = count; left > 0; left -= 1) {
        published += 1;
        const results = [resultOf(probe, scene.nowUs - published * 1_000_000)];
        const batch = seal(probe, batchOf(probe, { stream: newStream(), results }));
        await to.publish(batch, AbortSignal.timeout(10_000));
      }
    },
    published: () => published,
    stored: (withinMs = 30_000) => until(async () => (await scene.count('results')) === published, withinMs),
    passed: async () =>
      (
        await scene.db.one<{ sum: number }>(
          'select coalesce(sum(next_offset), 0)::int8 as sum from kafka_progress',
        )
      ).sum,
    admin,
    makeTopic,
    async deleteTopic() {
      await admin(async (client) => {
        await client.deleteTopics({ topics: [topic] });
        await until(async () => !(await client.listTopics()).includes(topic));
      });
    },
    async end() {
      await Promise.all(buses.map((one) => one.stop()));
      await scene.end();
    },
  };
}
