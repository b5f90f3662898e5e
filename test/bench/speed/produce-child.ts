// Hands sealed batches to Kafka at a steady rate, as all probes together would.
import { setTimeout as sleep } from 'node:timers/promises';
import { Kafka, logLevel, type Message, Partitioners } from 'kafkajs';
import { currentBatchSchema } from '../../../shared/batch-schema.ts';
import { kafkaHeaders } from '../../../shared/relay.ts';
import { benchProbeKey } from '../scale/probe-key.ts';
import { streamOfProbe } from './load-turns.ts';
import { readPool } from './pool-file.ts';

export interface ProduceTask {
  readonly file: string;
  readonly broker: string;
  readonly topic: string;
  /** Results a second; as many as go where it is 0. */
  readonly rate: number;
  readonly seconds: number;
}

/** So often what is due is sent. */
const tickMs = 50;

const task = JSON.parse(process.argv[2] ?? '') as ProduceTask;
const tell = (of: object) => process.stdout.write(`${JSON.stringify(of)}\n`);
const kafka = new Kafka({ clientId: 'bench', brokers: [task.broker], logLevel: logLevel.NOTHING });
const producer = kafka.producer({
  createPartitioner: Partitioners.DefaultPartitioner,
  allowAutoTopicCreation: false,
  maxInFlightRequests: 4,
});
await producer.connect();
const speakers = new Map<number, { key: string; kid: string }>();
const schema = String(currentBatchSchema);
let [produced, batches] = [0, 0];

function messageOf(probeId: number, signature: Buffer, value: Buffer): Message {
  let speaker = speakers.get(probeId);
  if (!speaker) {
    speaker = { key: streamOfProbe(probeId), kid: benchProbeKey(probeId).kid };
    speakers.set(probeId, speaker);
  }
  const { key, kid } = speaker;
  const headers = {
    [kafkaHeaders.kid]: kid,
    [kafkaHeaders.signature]: signature,
    [kafkaHeaders.schema]: schema,
  };
  return { key, value, headers };
}

tell({ ready: true });
const startedMs = performance.now();
const ticker = setInterval(() => tell({ produced }), 1000);
let due: Message[] = [];
let dueResults = 0;
for await (const { probeId, results, signature, value } of readPool(task.file)) {
  due.push(messageOf(probeId, signature, value));
  dueResults += results;
  const behind = task.rate > 0 ? produced + dueResults >= allowed() : dueResults >= 10_000;
  if (!behind) continue;
  await producer.send({ topic: task.topic, acks: -1, messages: due });
  produced += dueResults;
  batches += due.length;
  due = [];
  dueResults = 0;
  if (performance.now() - startedMs > task.seconds * 1000) break;
  // Where a batch is more than a tick's worth, the next tick is further away.
  if (task.rate > 0)
    await sleep(Math.max(1, (produced / task.rate) * 1000 - (performance.now() - startedMs)));
}

/** How many may have been sent by the end of this tick. */
function allowed(): number {
  return ((performance.now() - startedMs + tickMs) * task.rate) / 1000;
}

clearInterval(ticker);
const seconds = (performance.now() - startedMs) / 1000;
const { user, system } = process.cpuUsage();
await producer.disconnect();
tell({ produced, batches, seconds, cpuSeconds: (user + system) / 1e6 });
