import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';
import { type Broker, startBroker } from '../../deploy/kafka/broker.ts';
import { findKafka, type KafkaJars } from '../../deploy/kafka/java.ts';
import { freePort } from '../../hub/process/port.ts';

export interface TestKafka {
  /** 'host:port', for KAFKA_BROKERS. */
  readonly address: string;
  /** The broker's process, for those who kill it. */
  pid(): number;
  /** Resolves when the broker's process has ended. */
  exited(): Promise<void>;
  /** Starts the killed or stopped broker again: the same port, the same data. */
  restart(): Promise<void>;
  stop(): Promise<void>;
}

let shared: Promise<TestKafka | null> | null = null;

/**
 * A broker for this test file, started when first asked for and stopped after the file's last test:
 * `const kafka = await kafkaForTests(); describe.skipIf(!kafka)(...)`.
 * Null, said loudly, where this machine can have neither Java nor Kafka; with REQUIRE_KAFKA=1 that is a failure.
 */
export function kafkaForTests(): Promise<TestKafka | null> {
  shared ??= startOrSkip();
  return shared;
}

async function startOrSkip(): Promise<TestKafka | null> {
  const jars = await kafkaJarsForTests();
  if (!jars) return null;
  const kafka = await startKafka(jars);
  afterAll(() => kafka.stop());
  return kafka;
}

/** For those who need a broker of their own kind; null, said as loudly, where there can be none. */
export async function kafkaJarsForTests(): Promise<KafkaJars | null> {
  try {
    return await findKafka(process.env, console.log, AbortSignal.timeout(600_000));
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    if (process.env.REQUIRE_KAFKA === '1') throw new Error(`REQUIRE_KAFKA=1, and ${why}`, { cause: error });
    console.warn(`\n${'#'.repeat(80)}\n# SKIPPED: tests on Apache Kafka. ${why}\n${'#'.repeat(80)}\n`);
    return null;
  }
}

/** A broker on a free port with data of its own. */
export async function startKafka(
  jars: KafkaJars,
  properties: Readonly<Record<string, string>> = {},
): Promise<TestKafka> {
  const dataDir = await mkdtemp(join(tmpdir(), 'parallax-kafka-'));
  const port = await freePort();
  const start = () =>
    startBroker({ jars, port, dataDir, signal: AbortSignal.timeout(120_000), heapMb: 384, properties });
  let broker: Broker = await start();
  return {
    address: broker.address,
    pid: () => broker.pid,
    exited: () => broker.exited.then(() => undefined),
    async restart() {
      await broker.stop();
      broker = await start();
    },
    async stop() {
      await broker.stop();
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}
