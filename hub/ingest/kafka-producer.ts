import { type Kafka, type Message, Partitioners } from 'kafkajs';
import type { SealedBatch } from '../../shared/batch.ts';
import { kafkaHeaders } from '../../shared/relay.ts';
import { busUnavailable } from './bus-unavailable.ts';
import { type KafkaLog, kafkaReason } from './kafka-client.ts';
import { topicMissing } from './topics.ts';

export interface Sender {
  /** Resolves when the brokers have acknowledged it, all replicas in step. */
  send(batch: SealedBatch): Promise<void>;
  /** What keeps it from sending, or null. */
  trouble(): string | null;
  stop(): Promise<void>;
}

interface Waiting {
  readonly batch: SealedBatch;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

/** One request holds what came while the last one was under way, so that a busy relay makes few. */
const maxRequestBytes = 900_000;
/** After a failure requests are refused at once for so long: each would wait for the same dead broker. */
const restMs = 1000;

export function createSender(
  kafka: Kafka,
  topic: string,
  log: KafkaLog,
  maxBytes = 32 * 1024 * 1024,
): Sender {
  // Not idempotent: kafkajs's idempotent producer can lose data silently after a lost acknowledgement. Repeated
  // batches are recognised by their stream.
  const producer = kafka.producer({
    createPartitioner: Partitioners.DefaultPartitioner,
    allowAutoTopicCreation: false,
    idempotent: false,
    maxInFlightRequests: 1,
    retry: { initialRetryTime: 200, retries: 3 },
  });
  const queue: Waiting[] = [];
  let bytes = 0;
  let sending: Promise<void> | null = null;
  let connected = false;
  let stopped = false;
  let restUntilMs = 0;
  let why: string | null = null;

  function trouble(): string | null {
    if (stopped) return 'the hub is stopping';
    if (why !== null && performance.now() < restUntilMs) return why;
    return bytes >= maxBytes ? 'more batches wait for Kafka than fit' : null;
  }

  async function sendAll(): Promise<void> {
    for (let group = takeGroup(); group.length > 0; group = takeGroup()) {
      try {
        // kafkajs connects again by itself once it was connected.
        if (!connected) await producer.connect();
        connected = true;
        await producer.send({ topic, acks: -1, timeout: 10_000, messages: group.map(messageOf) });
        if (why !== null) log.info({ topic }, 'Kafka takes batches again');
        why = null;
        for (const { resolve } of group) resolve();
      } catch (error) {
        const reason = isTopicMissing(error) ? topicMissing(topic).message : kafkaReason(error);
        if (why === null) log.warn({ topic, error: reason }, 'Kafka takes no batches: the relay answers 503');
        why = reason;
        restUntilMs = performance.now() + restMs;
        for (const { reject } of group) reject(busUnavailable(reason));
      }
      for (const { batch } of group) bytes -= batch.value.length;
    }
    sending = null;
  }

  function takeGroup(): Waiting[] {
    let size = 0;
    let count = 0;
    for (const { batch } of queue) {
      if (count > 0 && size + batch.value.length > maxRequestBytes) break;
      size += batch.value.length;
      count += 1;
    }
    return queue.splice(0, count);
  }

  return {
    send(batch) {
      const refusal = trouble();
      if (refusal !== null) return Promise.reject(busUnavailable(refusal));
      bytes += batch.value.length;
      return new Promise((resolve, reject) => {
        queue.push({ batch, resolve, reject });
        sending ??= sendAll();
      });
    },
    trouble,
    async stop() {
      stopped = true;
      await sending;
      await producer.disconnect().catch(() => undefined);
    },
  };
}

/** kafkajs tries even this again, and wraps it in the error that counts its tries. */
function isTopicMissing(error: unknown): boolean {
  const { type, cause } = error as { type?: string; cause?: { type?: string } };
  return [type, cause?.type].includes('UNKNOWN_TOPIC_OR_PARTITION');
}

function messageOf({ batch }: Waiting): Message {
  return {
    key: batch.key,
    value: bufferOf(batch.value),
    headers: {
      [kafkaHeaders.kid]: batch.headers.kid,
      [kafkaHeaders.signature]: bufferOf(batch.headers.sig),
      [kafkaHeaders.schema]: batch.headers.schema,
    },
  };
}

function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
