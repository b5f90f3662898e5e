import type { HubKafkaConfig } from '../config.ts';
import type { Database } from '../store/database.ts';
import type { Bus } from './bus.ts';
import { type KafkaLog, kafkaClient } from './kafka-client.ts';
import { createReader } from './kafka-consumer.ts';
import { createSender } from './kafka-producer.ts';
import { type KafkaRefusal, topicNames } from './topics.ts';

export interface KafkaBusOptions {
  readonly config: HubKafkaConfig;
  readonly env: string;
  readonly db: Database;
  readonly log: KafkaLog;
  /** The log is not the one to read, and only a person can say what now: end the process and say so. */
  readonly onFatal: (error: KafkaRefusal) => void;
  /** Brokers were away a moment ago: what is to be done once they are there, before anything is read. */
  readonly prepare?: () => Promise<void>;
  /** What may wait for Kafka, in bytes of batches. */
  readonly maxBytes?: number;
  readonly retryMs?: readonly [first: number, longest: number];
  readonly lookEveryMs?: number;
  readonly patienceMs?: number;
  readonly silentMs?: number;
}

/** The bus of a hub with Kafka: the relay produces, ingest reads what the relay and the probes produced. */
export function createKafkaBus(options: KafkaBusOptions): Bus {
  const { config, env, db, log, onFatal, prepare, maxBytes, retryMs = [250, 5000] } = options;
  const { lookEveryMs = 10_000, patienceMs = 10_000, silentMs = 40_000 } = options;
  const topic = topicNames(env).results;
  const kafka = kafkaClient(config, log);
  const sender = createSender(kafka, topic, log, maxBytes);
  const reader = createReader({
    kafka,
    groupId: config.groupId,
    topic,
    db,
    log,
    onFatal,
    retryMs,
    lookEveryMs,
    patienceMs,
    silentMs,
    ...(prepare && { prepare }),
  });
  let reading = false;
  return {
    publish: (batch) => sender.send(batch),
    async start(handler) {
      reading = true;
      await reader.start(handler);
    },
    status() {
      const reason = sender.trouble() ?? (reading ? reader.trouble() : null);
      const partitions = reading ? reader.lags() : null;
      const lag = partitions?.reduce((sum, one) => sum + one.lag, 0) ?? null;
      const slowest = partitions?.toSorted((a, b) => b.lag - a.lag)[0] ?? null;
      return {
        kind: 'kafka',
        ready: reason === null,
        reason,
        lag,
        slowest,
        partitions,
        dropped: reader.dropped(),
      };
    },
    async stop() {
      await sender.stop();
      await reader.stop();
    },
  };
}
