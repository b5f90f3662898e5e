import { generateKeyPairSync } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import pino from 'pino';
import { writeHead } from '../../../probe/spool/head-file.ts';
import { openSpool } from '../../../probe/spool/open-spool.ts';
import { defaultSpoolLimits, type Spool, type SpoolOptions } from '../../../probe/spool/spool.ts';
import { type Batch, decodeBatch } from '../../../shared/batch.ts';
import type { Result } from '../../../shared/result.ts';
import { ed25519Thumbprint } from '../../../shared/signing.ts';

const { privateKey, publicKey } = generateKeyPairSync('ed25519');
export const testKey = publicKey;
export const identity = {
  probeId: 7,
  region: { id: 3, name: 'eu-west' },
  hub: 'https://hub.example',
  key: privateKey,
  kid: ed25519Thumbprint(publicKey.export({ format: 'jwk' }).x ?? ''),
};
export const stream = 'ab'.repeat(16);
export const quiet = pino({ level: process.env.LOG_LEVEL ?? 'silent' });

/** Told apart by its endpoint. */
export function resultOf(endpointId: number, over: Partial<Result> = {}): Result {
  const scheduledAt = 1_790_000_000_000_000 + endpointId * 1000;
  return {
    endpointId,
    rev: 1,
    regionId: 3,
    probeId: 7,
    kind: 'slot',
    scheduledAt,
    startedAt: scheduledAt + 400,
    attempts: 1,
    outcome: 'up',
    failure: null,
    firstFailure: null,
    suspect: false,
    status: 200,
    httpVersion: '1.1',
    remoteIp: '203.0.113.7',
    redirects: 0,
    timings: { dns: 1000, connect: 2000, tls: null, wait: 4000, transfer: 500, total: 10_500 },
    bytes: 1234,
    truncated: false,
    facts: null,
    evidence: null,
    tls: null,
    lateBy: 400,
    ...over,
  };
}

export interface SpoolScene {
  readonly dir: string;
  readonly sealed: number[];
  readonly droppedRanges: [number, number][];
  open(over?: Partial<SpoolOptions>): Promise<Spool>;
}

/** A new stream's folder below `folder`. */
export async function spoolScene(folder: string): Promise<SpoolScene> {
  const dir = join(folder, stream);
  mkdirSync(dir);
  await writeHead(dir, {
    probeId: 7,
    regionId: 3,
    kid: identity.kid,
    madeAt: 1,
    reservedTo: 0,
    durable: 0,
    dropped: 0,
    closed: false,
  });
  const sealed: number[] = [];
  const droppedRanges: [number, number][] = [];
  return {
    dir,
    sealed,
    droppedRanges,
    open: ({ limits, ...over } = {}) =>
      openSpool({
        dir,
        stream,
        identity,
        log: quiet,
        now: () => Date.now() * 1000,
        onSealed: (seq) => sealed.push(seq),
        onDropped: (from, to) => droppedRanges.push([from, to]),
        ...over,
        limits: { ...defaultSpoolLimits, syncMs: 0, ...limits },
      }),
  };
}

/** Every batch that the spool would still deliver. */
export async function batchesOf(spool: Spool): Promise<Batch[]> {
  const batches: Batch[] = [];
  const { lastSeq, durable } = spool.status();
  for (let seq = durable + 1; seq <= lastSeq; seq += 1) {
    if (lastSeq - seq > 100_000) continue;
    const batch = await spool.read(seq);
    if (batch) batches.push(decodeBatch(batch.value, batch.headers.schema));
  }
  return batches;
}

export const idsOf = (batches: readonly Batch[]) =>
  batches.flatMap(({ results }) => results.map(({ endpointId }) => endpointId));
export const gapsOf = (batches: readonly Batch[]) => batches.flatMap(({ gaps }) => gaps);
