import { createPublicKey, type KeyObject, verify } from 'node:crypto';
import { setTimeout as wait } from 'node:timers/promises';
import { Kafka, type KafkaMessage, logLevel } from 'kafkajs';
import { endsWithin } from '../../hub/process/tethered.ts';
import type { Database } from '../../hub/store/database.ts';
import { openBatch } from '../../shared/batch.ts';
import { resultKey } from '../flow/spool-witness.ts';
import { saidOf } from './said.ts';

/** One result in a batch whose signature holds, and the region of the key that signed. */
export interface Signed {
  readonly regionId: number;
  readonly probeId: number;
  readonly scheduledAt: number;
  readonly startedAt: number;
  /** What it says, as saidOf writes it; several where its probe signed several under one key. */
  readonly said: ReadonlySet<string>;
}

export interface KafkaLog {
  /**
   * Everything with a good signature that was ever on the topic, by key, apart from what was settled. Waits until the
   * log's end, as of now.
   */
  read(): Promise<ReadonlyMap<string, Signed>>;
  /** What was due before this instant (epoch microseconds) is accounted for, and forgotten. */
  settle(beforeUs: number): void;
  /** Messages read, those whose signature did not hold, and those that retention took before they were read. */
  counts(): { readonly messages: number; readonly unsigned: number; readonly missed: number };
  stop(): Promise<void>;
}

export interface KafkaLogOptions {
  readonly address: string;
  readonly topic: string;
  readonly db: () => Database;
}

interface KnownKey {
  readonly id: number;
  readonly regionId: number;
  readonly key: KeyObject;
}

/** Reads the results topic on its own from the first message on, and looks at each signature with Node's crypto alone. */
export async function readKafkaLog({ address, topic, db }: KafkaLogOptions): Promise<KafkaLog> {
  const signed = new Map<string, Signed>();
  const next = new Map<number, number>();
  const keys = new Map<string, KnownKey>();
  let messages = 0;
  let unsigned = 0;
  let missed = 0;
  const kafka = new Kafka({
    brokers: [address],
    clientId: 'chaos-log',
    logLevel: logLevel.NOTHING,
    retry: { initialRetryTime: 300, maxRetryTime: 3000, retries: 1_000_000 },
  });
  const consumer = kafka.consumer({ groupId: `chaos-log-${process.pid}`, sessionTimeout: 30_000 });

  async function keyOf(kid: string): Promise<KnownKey | null> {
    const known = keys.get(kid);
    if (known) return known;
    const rows = await db().many<{ id: number; region_id: number; thumbprint: string; public_key: string }>(
      'select id, region_id, thumbprint, public_key from probes',
    );
    for (const row of rows) {
      const jwk = { kty: 'OKP', crv: 'Ed25519', x: row.public_key };
      const key = createPublicKey({ key: jwk, format: 'jwk' });
      keys.set(row.thumbprint, { id: row.id, regionId: row.region_id, key });
    }
    return keys.get(kid) ?? null;
  }

  async function take(message: KafkaMessage): Promise<void> {
    messages += 1;
    const { kid, sig, schema } = message.headers ?? {};
    const key = await keyOf(String(kid ?? ''));
    const holds = key && message.value && Buffer.isBuffer(sig) && verify(null, message.value, key.key, sig);
    if (!holds) {
      unsigned += 1;
      return;
    }
    try {
      const { results } = openBatch(message.value ?? Buffer.alloc(0), String(schema));
      for (const result of results) {
        const name = resultKey({ ...result, regionId: key.regionId });
        signed.set(name, {
          regionId: key.regionId,
          probeId: key.id,
          scheduledAt: result.scheduledAt,
          startedAt: result.startedAt,
          said: new Set(signed.get(name)?.said).add(saidOf(result)),
        });
      }
    } catch {
      // Signed and not a batch: nothing of it can be stored.
    }
  }

  await consumer.connect();
  await consumer.subscribe({ topics: [topic], fromBeginning: true });
  await consumer.run({
    autoCommit: false,
    eachBatchAutoResolve: false,
    partitionsConsumedConcurrently: 4,
    async eachBatch({ batch, resolveOffset, heartbeat, isRunning }) {
      for (const message of batch.messages) {
        if (!isRunning()) return;
        const offset = Number(message.offset);
        const expected = next.get(batch.partition) ?? 0;
        if (offset >= expected) {
          missed += offset - expected;
          await take(message);
          next.set(batch.partition, offset + 1);
        }
        resolveOffset(message.offset);
      }
      await heartbeat();
    },
  });

  async function ends(): Promise<ReadonlyMap<number, number>> {
    const admin = kafka.admin();
    try {
      await admin.connect();
      const offsets = await admin.fetchTopicOffsets(topic);
      // What retention took is no longer there to be read.
      return new Map(
        offsets
          .filter(({ low, high }) => low !== high)
          .map(({ partition, high }) => [partition, Number(high)]),
      );
    } finally {
      await admin.disconnect().catch(() => undefined);
    }
  }

  return {
    async read() {
      const wanted = await ends();
      const deadline = performance.now() + 30_000;
      const reached = () => [...wanted].every(([partition, end]) => (next.get(partition) ?? 0) >= end);
      while (!reached()) {
        if (performance.now() > deadline) throw new Error("Kafka's log could not be read to its end in 30 s");
        await wait(50);
      }
      return signed;
    },
    settle(beforeUs) {
      for (const [key, { scheduledAt }] of signed) if (scheduledAt < beforeUs) signed.delete(key);
    },
    counts: () => ({ messages, unsigned, missed }),
    async stop() {
      // It waits for a broker that may be gone.
      await endsWithin(
        consumer.disconnect().catch(() => undefined),
        5000,
      );
    },
  };
}
