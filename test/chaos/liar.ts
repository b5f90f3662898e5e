import { generateKeyPairSync, type KeyObject, randomBytes } from 'node:crypto';
import { Kafka, logLevel, Partitioners } from 'kafkajs';
import pino from 'pino';
import { join } from '../../probe/join.ts';
import { openDataFolder } from '../../probe/state/data-folder.ts';
import { type Batch, encodeBatch } from '../../shared/batch.ts';
import { currentBatchSchema } from '../../shared/batch-schema.ts';
import { kafkaHeaders } from '../../shared/relay.ts';
import type { Result } from '../../shared/result.ts';
import { signBytes } from '../../shared/signing.ts';
import { resultKey } from '../flow/spool-witness.ts';
import type { Random } from './random.ts';

/** What the liar sent: nothing of it may ever be stored. */
export interface Liar {
  readonly probeId: number;
  /** One lie of each kind onto the topic. Throws where Kafka takes nothing now. */
  lie(victim: Victim): Promise<void>;
  /** Keys of everything it said, under any region. */
  readonly lies: ReadonlySet<string>;
  /** Batches Kafka took, by what is wrong with them. */
  readonly told: ReadonlyMap<string, number>;
}

/** An honest probe whose name is used, and an endpoint that exists. */
export interface Victim {
  readonly probeId: number;
  readonly kid: string;
  readonly regionId: number;
  readonly endpointId: number;
}

export interface LiarOptions {
  readonly hub: string;
  readonly token: string;
  readonly folder: string;
  readonly kafka: string;
  readonly topic: string;
  readonly random: Random;
}

/** A probe that enrolled as others do, and then forges: its own key is real, what it says is not. */
export async function makeLiar({ hub, token, folder, kafka, topic, random }: LiarOptions): Promise<Liar> {
  const data = await openDataFolder(folder);
  const { enrolled, key } = await join({
    config: {
      hub,
      token: { text: token },
      dataDir: folder,
      name: 'liar',
      delivery: 'kafka',
      workers: 1,
      // It is given nothing to check.
      capacity: 1,
      allowNetworks: [],
      allowProxy: false,
      hubCaFile: null,
      kafkaCertificate: null,
      metrics: null,
      maxRate: null,
      maxMemoryBytes: null,
      nice: null,
      contact: null,
      orphanWebhook: null,
      once: false,
      network: { anchors: [], canaryDomains: [], knownPage: null },
      spoolMaxBytes: 1_048_576,
      env: {},
    },
    folder: data,
    ca: null,
    log: pino({ level: 'silent' }),
    signal: AbortSignal.timeout(30_000),
  }).finally(() => data.release());
  const stranger = generateKeyPairSync('ed25519').privateKey;
  const lies = new Set<string>();
  const told = new Map<string, number>();
  const client = new Kafka({ brokers: [kafka], clientId: 'liar', logLevel: logLevel.NOTHING });

  function lieOf(kind: string, victim: Victim): { batch: Batch; kid: string; signWith: KeyObject } {
    const own = { probeId: enrolled.probeId, regionId: enrolled.region.id };
    const { probeId, regionId } = kind === 'stolen-name' ? victim : own;
    const wrongRegion = kind === 'wrong-region' ? victim.regionId : regionId;
    const nowUs = Date.now() * 1000 - random.int(0, 30_000_000);
    const scheduledAt = kind === 'future' ? nowUs + 3_600_000_000 : nowUs;
    const result = resultOf(
      kind === 'foreign-endpoint' ? 1_000_000_000 + random.int(0, 1000) : victim.endpointId,
      probeId,
      wrongRegion,
      scheduledAt,
    );
    // Whatever region a hub may believe, it is a lie.
    for (const region of new Set([wrongRegion, regionId, victim.regionId])) {
      lies.add(resultKey({ ...result, regionId: region }));
    }
    const batch: Batch = {
      probeId,
      regionId: wrongRegion,
      stream: randomBytes(16).toString('hex'),
      seq: 1,
      leaseVersion: 1,
      sealedAt: nowUs,
      results: [result],
      gaps: [],
    };
    return {
      batch,
      kid: kind === 'stolen-name' ? victim.kid : enrolled.kid,
      signWith: kind === 'stolen-name' ? stranger : key,
    };
  }

  return {
    probeId: enrolled.probeId,
    lies,
    told,
    async lie(victim) {
      const kinds = ['stolen-name', 'wrong-region', 'foreign-endpoint', 'future'];
      const messages = kinds.map((kind) => {
        const { batch, kid, signWith } = lieOf(kind, victim);
        const value = Buffer.from(encodeBatch(batch));
        return {
          key: batch.stream,
          value,
          headers: {
            [kafkaHeaders.kid]: kid,
            [kafkaHeaders.signature]: signBytes(signWith, value),
            [kafkaHeaders.schema]: String(currentBatchSchema),
          },
        };
      });
      const producer = client.producer({
        createPartitioner: Partitioners.DefaultPartitioner,
        retry: { retries: 2 },
      });
      try {
        await producer.connect();
        await producer.send({ topic, acks: -1, messages });
        for (const kind of kinds) told.set(kind, (told.get(kind) ?? 0) + 1);
      } finally {
        await producer.disconnect().catch(() => undefined);
      }
    },
  };
}

function resultOf(endpointId: number, probeId: number, regionId: number, scheduledAt: number): Result {
  return {
    endpointId,
    rev: 1,
    regionId,
    probeId,
    kind: 'slot',
    scheduledAt,
    startedAt: scheduledAt,
    attempts: 1,
    outcome: 'up',
    failure: null,
    firstFailure: null,
    suspect: false,
    status: 200,
    httpVersion: '1.1',
    remoteIp: '127.0.0.1',
    redirects: 0,
    timings: { dns: null, connect: 1, tls: null, wait: 1, transfer: 1, total: 3 },
    bytes: 4,
    truncated: false,
    facts: null,
    evidence: null,
    tls: null,
    lateBy: 0,
  };
}
