// Signed batches of probes that are not there, into Kafka at a steady rate: what a large network would send.
import { Kafka, logLevel } from 'kafkajs';
import { encodeBatch } from '../../shared/batch.ts';
import { currentBatchSchema } from '../../shared/batch-schema.ts';
import { kafkaHeaders } from '../../shared/relay.ts';
import type { Result } from '../../shared/result.ts';
import { signBytes } from '../../shared/signing.ts';
import { benchProbeKey } from '../bench/scale/probe-key.ts';

export interface ProducerOrder {
  readonly brokers: readonly string[];
  readonly topic: string;
  /** Results a second, of all together. */
  readonly rate: number;
  readonly probes: readonly {
    readonly id: number;
    readonly regionId: number;
    readonly key: number;
    readonly stream: string;
  }[];
  readonly endpointIds: readonly number[];
}

const batchResults = 500;
const order = JSON.parse(process.argv[2] ?? '{}') as ProducerOrder;
const kafka = new Kafka({ clientId: 'parallax-soak', brokers: [...order.brokers], logLevel: logLevel.ERROR });
const producer = kafka.producer({ allowAutoTopicCreation: false, maxInFlightRequests: 1 });
const perProbe = order.rate / order.probes.length;
/** All endpoints once, in so many microseconds. */
const roundUs = (order.endpointIds.length / perProbe) * 1_000_000;
const senders = order.probes.map((probe) => ({ ...probe, ...benchProbeKey(probe.key), seq: 0, sent: 0 }));
let stopped = false;
let produced = 0;
process.on('SIGTERM', () => {
  stopped = true;
});

await producer.connect();
const startUs = Date.now() * 1000;
const startMs = performance.now();
while (!stopped) {
  const due = ((performance.now() - startMs) / 1000) * perProbe;
  const ready = senders.filter(({ sent }) => due - sent >= batchResults);
  if (ready.length === 0) {
    await new Promise((resolve) => setTimeout(resolve, 20));
    continue;
  }
  const messages = ready.map((sender) => {
    sender.seq += 1;
    const results = Array.from({ length: batchResults }, () => resultOf(sender, sender.sent++));
    const { id: probeId, regionId, stream, seq } = sender;
    const sealedAt = Date.now() * 1000;
    const value = encodeBatch({
      probeId,
      regionId,
      stream,
      seq,
      leaseVersion: 1,
      sealedAt,
      results,
      gaps: [],
    });
    const headers = {
      [kafkaHeaders.kid]: sender.kid,
      [kafkaHeaders.signature]: Buffer.from(signBytes(sender.privateKey, value)),
      [kafkaHeaders.schema]: String(currentBatchSchema),
    };
    return { key: stream, value: Buffer.from(value.buffer, value.byteOffset, value.byteLength), headers };
  });
  await producer.send({ topic: order.topic, acks: -1, messages });
  produced += messages.length * batchResults;
  // Further behind than this the machine cannot make what it is asked to.
  console.log(JSON.stringify({ produced, behind: Math.round(due * senders.length - produced) }));
}
await producer.disconnect();

/** Plausible, and never the same twice: mostly up, with a tail of slow ones and a few that fail. */
function resultOf({ id, regionId }: { id: number; regionId: number }, n: number): Result {
  const at = n % order.endpointIds.length;
  const endpointId = order.endpointIds[at] ?? 0;
  const scheduledAt =
    startUs +
    Math.floor(Math.floor(n / order.endpointIds.length) * roundUs) +
    Math.floor((at / order.endpointIds.length) * roundUs);
  const wait = 20_000 + Math.floor(Math.random() ** 4 * 400_000);
  return {
    endpointId,
    rev: 1,
    regionId,
    probeId: id,
    kind: 'slot',
    scheduledAt,
    startedAt: scheduledAt + 900,
    attempts: 1,
    outcome: 'up',
    failure: null,
    firstFailure: null,
    suspect: false,
    status: 200,
    httpVersion: '1.1',
    remoteIp: `198.51.100.${endpointId % 250}`,
    redirects: 0,
    timings: { dns: 400, connect: 12_000, tls: 15_000, wait, transfer: 300, total: 27_700 + wait },
    bytes: 5120,
    truncated: false,
    facts: null,
    evidence: null,
    tls: null,
    lateBy: 900,
  };
}
