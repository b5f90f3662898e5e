import { setTimeout as wait } from 'node:timers/promises';
import kafkajs, { type Admin, type ITopicConfig, type Kafka } from 'kafkajs';
import type { HubKafkaConfig } from '../config.ts';
import { topicConfigs } from './cluster-plan.ts';
import { type KafkaLog, kafkaClient } from './kafka-client.ts';
import { topicNames } from './topics.ts';

/** Node itself sees not all that kafkajs exports by name. */
const { ConfigResourceTypes } = kafkajs;

const leadersMs = 30_000;

export interface TopicReport {
  readonly topic: string;
  readonly state: 'made' | 'there';
  readonly partitions: number;
}

/**
 * Part of `parallax migrate up`: makes what is missing. A topic that stands keeps its partitions and retention, which
 * are its operator's, but its time must be the log's own: a probe's clock may steer neither watermark nor retention.
 */
export async function createTopics(
  config: HubKafkaConfig,
  env: string,
  log: KafkaLog,
): Promise<TopicReport[]> {
  return withAdmin(kafkaClient(config, log), async (admin) => {
    const wanted = Object.values(topicNames(env));
    const there = new Set(await admin.listTopics());
    const missing = wanted.filter((topic) => !there.has(topic));
    if (missing.length > 0) {
      await makeTopics(
        admin,
        missing.map((topic) => topicConfig(topic, config)),
      );
    }
    for (const topic of wanted) if (!missing.includes(topic)) await requireLogAppendTime(admin, topic, log);
    const { topics } = await admin.fetchTopicMetadata({ topics: wanted });
    // In our order: the brokers answer in any.
    return wanted.map((topic) => ({
      topic,
      state: missing.includes(topic) ? ('made' as const) : ('there' as const),
      partitions: topics.find(({ name }) => name === topic)?.partitions.length ?? 0,
    }));
  });
}

function topicConfig(topic: string, config: HubKafkaConfig): ITopicConfig {
  return {
    topic,
    numPartitions: config.partitions,
    replicationFactor: config.replication,
    configEntries: Object.entries(topicConfigs(config)).map(([name, value]) => ({ name, value })),
  };
}

/**
 * Resolves when every partition has its leader. kafkajs's own waiting fails where the broker that it asks has not heard
 * of the topic yet.
 */
export async function makeTopics(admin: Admin, topics: readonly ITopicConfig[]): Promise<void> {
  await admin.createTopics({ topics: [...topics], waitForLeaders: false, timeout: leadersMs });
  const untilMs = performance.now() + leadersMs;
  const names = topics.map(({ topic }) => topic);
  for (;;) {
    const open = await withoutLeader(admin, names);
    if (open === null) return;
    if (performance.now() > untilMs) throw new Error(`no leader for its partitions after 30 s: ${open}`);
    await wait(100);
  }
}

/** What keeps these topics from being used, or null. */
async function withoutLeader(admin: Admin, names: string[]): Promise<string | null> {
  try {
    const { topics } = await admin.fetchTopicMetadata({ topics: names });
    return topics.find(({ partitions }) => partitions.some(({ leader }) => leader < 0))?.name ?? null;
  } catch (error) {
    const { type, message } = error as { type?: string; message: string };
    if (type === 'UNKNOWN_TOPIC_OR_PARTITION' || type === 'LEADER_NOT_AVAILABLE') return message;
    throw error;
  }
}

async function requireLogAppendTime(admin: Admin, topic: string, log: KafkaLog): Promise<void> {
  const name = 'message.timestamp.type';
  const { resources } = await admin.describeConfigs({
    resources: [{ type: ConfigResourceTypes.TOPIC, name: topic, configNames: [name] }],
    includeSynonyms: false,
  });
  const value = resources[0]?.configEntries.find((entry) => entry.configName === name)?.configValue;
  if (value !== 'LogAppendTime') {
    log.warn(
      { topic, [name]: value },
      `${name} must be LogAppendTime: set it, or probes' clocks are believed`,
    );
  }
}

export async function withAdmin<T>(kafka: Kafka, work: (admin: Admin) => Promise<T>): Promise<T> {
  const admin = kafka.admin();
  await admin.connect();
  try {
    return await work(admin);
  } finally {
    await admin.disconnect();
  }
}
