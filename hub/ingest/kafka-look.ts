import type { HubKafkaConfig } from '../config.ts';
import { type KafkaLog, kafkaClient, kafkaReason } from './kafka-client.ts';
import { withAdmin } from './kafka-topics.ts';
import { topicNames } from './topics.ts';

export interface KafkaLook {
  readonly clusterId: string;
  readonly brokers: number;
  /** Of ours, those that are not there. */
  readonly missing: readonly string[];
}

/** A look from outside, which changes nothing. Throws an Error whose message says what to do. */
export async function lookAtCluster(config: HubKafkaConfig, env: string, log: KafkaLog): Promise<KafkaLook> {
  try {
    return await withAdmin(kafkaClient(config, log), async (admin) => {
      const { clusterId, brokers } = await admin.describeCluster();
      const there = new Set(await admin.listTopics());
      const missing = Object.values(topicNames(env)).filter((topic) => !there.has(topic));
      return { clusterId, brokers: brokers.length, missing };
    });
  } catch (error) {
    throw new Error(kafkaReason(error), { cause: error });
  }
}
