import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, open, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Kafka, logLevel } from 'kafkajs';
import { freePort, portIsFree } from '../../hub/process/port.ts';
import { endsWithin, startTethered, stopTethered, type Tethered } from '../../hub/process/tethered.ts';
import type { KafkaJars } from './java.ts';

const run = promisify(execFile);

export interface Broker {
  /** 'host:port', as KAFKA_BROKERS wants it. */
  readonly address: string;
  readonly pid: number;
  readonly exited: Tethered['exited'];
  stop(): Promise<void>;
}

export interface BrokerOptions {
  readonly jars: KafkaJars;
  /** Loopback port; must be free. */
  readonly port: number;
  readonly dataDir: string;
  readonly signal: AbortSignal;
  readonly heapMb?: number;
  /** server.properties lines on top of ours. */
  readonly properties?: Readonly<Record<string, string>>;
  readonly jvmFlags?: readonly string[];
  /** PEM, where the first listener asks for a certificate: whether it is ready is asked with this one. */
  readonly ssl?: { readonly ca: string; readonly cert: string; readonly key: string };
}

const readyDeadlineMs = 90_000;

/** One node of Apache Kafka 4, broker and KRaft controller in one, on loopback. What is in `dataDir` goes on. */
export async function startBroker(options: BrokerOptions): Promise<Broker> {
  const { jars, port, dataDir, signal, heapMb = 512, jvmFlags = [], ssl } = options;
  if (!(await portIsFree(port))) {
    throw new Error(
      `port ${port} on 127.0.0.1 is in use: stop what listens there, or choose another with --port`,
    );
  }
  await mkdir(dataDir, { recursive: true });
  const config = join(dataDir, 'server.properties');
  await writeFile(config, propertiesText(await properties(options)));
  const memory = ['-Xms128m', `-Xmx${heapMb}m`, '-XX:+ExitOnOutOfMemoryError'];
  const flags = [
    ...memory,
    '-Dorg.slf4j.simpleLogger.defaultLogLevel=warn',
    ...jvmFlags,
    '-cp',
    jars.classPath,
  ];
  if (!existsSync(join(logDir(dataDir), 'meta.properties'))) {
    const format = ['kafka.tools.StorageTool', 'format', '-t', clusterId(), '-c', config];
    await run(jars.java, [...flags, ...format], { signal, timeout: 60_000 });
  }

  const logFile = join(dataDir, 'kafka.log');
  const log = await open(logFile, 'a');
  const broker = await startTethered({
    file: jars.java,
    args: [...flags, 'kafka.Kafka', config],
    stopSignal: 'SIGTERM',
    output: log.fd,
    env: process.env,
    cwd: dataDir,
  }).finally(() => log.close());
  const address = `127.0.0.1:${port}`;
  const stop = async () => {
    await stopTethered(broker, [
      ['SIGTERM', 15_000],
      ['SIGKILL', 5000],
    ]);
  };
  try {
    await becomesReady(broker, () => answers(address, ssl), logFile, signal);
    return { address, pid: broker.pid, exited: broker.exited, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

const logDir = (dataDir: string) => join(dataDir, 'log');

async function properties({
  port,
  dataDir,
  properties = {},
}: BrokerOptions): Promise<Record<string, string>> {
  const controller = `127.0.0.1:${await freePort()}`;
  return {
    'process.roles': 'broker,controller',
    'node.id': '1',
    'controller.quorum.voters': `1@${controller}`,
    listeners: `PLAINTEXT://127.0.0.1:${port},CONTROLLER://${controller}`,
    'advertised.listeners': `PLAINTEXT://127.0.0.1:${port}`,
    'controller.listener.names': 'CONTROLLER',
    'listener.security.protocol.map': 'PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT',
    'log.dirs': logDir(dataDir),
    // A broker that was killed may come back as soon as its old session is over: the default is 9 s.
    'broker.heartbeat.interval.ms': '1000',
    'broker.session.timeout.ms': '4000',
    'auto.create.topics.enable': 'false',
    'offsets.topic.num.partitions': '4',
    'offsets.topic.replication.factor': '1',
    'transaction.state.log.replication.factor': '1',
    'transaction.state.log.min.isr': '1',
    'share.coordinator.state.topic.replication.factor': '1',
    'share.coordinator.state.topic.min.isr': '1',
    'group.initial.rebalance.delay.ms': '0',
    ...properties,
  };
}

function propertiesText(properties: Readonly<Record<string, string>>): string {
  const lines = Object.entries(properties).map(
    ([name, value]) => `${name}=${value.replaceAll('\\', '\\\\')}\n`,
  );
  return lines.join('');
}

/** 16 random bytes in base64url, as Kafka writes a UUID; a leading '-' would read as a flag. */
function clusterId(): string {
  return randomBytes(16).toString('base64url').replace(/^-/, 'A');
}

/** Ready is a broker that answers and counts itself in, not an open port. */
async function becomesReady(
  broker: Tethered,
  ready: () => Promise<boolean>,
  logFile: string,
  signal: AbortSignal,
): Promise<void> {
  const until = performance.now() + readyDeadlineMs;
  while (performance.now() < until) {
    signal.throwIfAborted();
    if (await ready()) return;
    if (await endsWithin(broker.exited, 200)) {
      const text = await readFile(logFile, 'utf8').catch(() => '');
      const said = text
        .trim()
        .split('\n')
        .filter((line) => /ERROR|Exception/.test(line))
        .at(-1);
      throw new Error(`Kafka did not start: ${said ?? 'it said nothing'}. The log is ${logFile}`);
    }
  }
  throw new Error(`Kafka was not ready after ${readyDeadlineMs / 1000} s: the log is ${logFile}`);
}

async function answers(address: string, ssl: BrokerOptions['ssl']): Promise<boolean> {
  const kafka = new Kafka({
    brokers: [address],
    ...(ssl && { ssl }),
    logLevel: logLevel.NOTHING,
    retry: { retries: 0 },
  });
  const admin = kafka.admin();
  try {
    await admin.connect();
    const { brokers } = await admin.describeCluster();
    return brokers.length > 0;
  } catch {
    return false;
  } finally {
    await admin.disconnect().catch(() => undefined);
  }
}
