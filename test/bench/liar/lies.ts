import { type KeyObject, randomBytes } from 'node:crypto';
import { zstdCompressSync } from 'node:zlib';
import type { IncomingBatch } from '../../../hub/ingest/bus.ts';
import type { RegisteredProbe } from '../../../hub/trust/registry.ts';
import { type Batch, encodeBatch } from '../../../shared/batch.ts';
import { currentBatchSchema } from '../../../shared/batch-schema.ts';
import type { Result } from '../../../shared/result.ts';
import { signBytes } from '../../../shared/signing.ts';

/** A probe with its key: what it says is authentic, whether it is true or not. */
export interface Speaker {
  readonly probe: RegisteredProbe;
  readonly privateKey: KeyObject;
}

export const newStream = () => randomBytes(16).toString('hex');

/** Endpoints 1 to 1000 are everybody's. */
export const knownEndpoints = 1000;

export function resultOf({ probe }: Speaker, scheduledAt: number, endpointId: number): Result {
  return {
    endpointId,
    rev: 1,
    regionId: probe.regionId,
    probeId: probe.id,
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
    timings: { dns: 1000, connect: 2000, tls: null, wait: 4000, transfer: 500, total: 7500 },
    bytes: 1234,
    truncated: false,
    facts: null,
    evidence: null,
    tls: null,
    lateBy: 400,
  };
}

export function sealed(speaker: Speaker, over: Partial<Batch>): IncomingBatch {
  const { probe } = speaker;
  const batch = {
    probeId: probe.id,
    regionId: probe.regionId,
    stream: newStream(),
    seq: 1,
    leaseVersion: 1,
    sealedAt: Date.now() * 1000,
    results: [],
    gaps: [],
    ...over,
  };
  return signed(speaker, batch.stream, encodeBatch(batch));
}

function signed({ probe, privateKey }: Speaker, key: string, value: Uint8Array): IncomingBatch {
  const sig = signBytes(privateKey, value);
  return { key, value, headers: { kid: probe.kid, sig, schema: String(currentBatchSchema) }, position: null };
}

/** Ways to misbehave with a real key, or without one: each gives its n-th message. */
export const lies: Readonly<Record<string, (liar: Speaker, nowUs: number) => (n: number) => IncomingBatch>> =
  {
    'one refused result a batch': (liar, nowUs) => {
      const stream = newStream();
      return (n) => sealed(liar, { stream, seq: n + 1, results: [resultOf(liar, nowUs, 100_000 + n)] });
    },
    '500 refused results a batch': (liar, nowUs) => {
      const stream = newStream();
      return (n) =>
        sealed(liar, {
          stream,
          seq: n + 1,
          results: Array.from({ length: 500 }, (_, one) => resultOf(liar, nowUs, 100_000 + n * 500 + one)),
        });
    },
    'results of the future': (liar, nowUs) => {
      const stream = newStream();
      return (n) => sealed(liar, { stream, seq: n + 1, results: [resultOf(liar, nowUs + 1e12, 1)] });
    },
    'another region': (liar) => (n) => sealed(liar, { seq: n + 1, regionId: liar.probe.regionId + 1 }),
    'garbage that is no zstd': (liar) => () => signed(liar, newStream(), randomBytes(300)),
    'a bomb of 1 GiB': (liar) => {
      const bomb = zstdCompressSync(Buffer.alloc(2 ** 30));
      return () => signed(liar, newStream(), Buffer.concat([bomb, randomBytes(8)]));
    },
    'two megabytes of odd words': (liar, nowUs) => {
      const stream = newStream();
      const wide = (n: number) => `${n}${'é'.repeat(1900)}`;
      return (n) =>
        sealed(liar, {
          stream,
          seq: n + 1,
          results: Array.from({ length: 500 }, (_, one) => ({
            ...resultOf(liar, nowUs - one, 1),
            httpVersion: wide(n),
          })),
        });
    },
    'a new stream each': (liar) => () => sealed(liar, {}),
    'holes without end': (liar) => {
      const stream = newStream();
      return (n) => sealed(liar, { stream, seq: 2 * n + 2 });
    },
    'gap records without end': (liar) => {
      const stream = newStream();
      return (n) =>
        sealed(liar, {
          stream,
          seq: n * 501 + 1,
          gaps: Array.from({ length: 500 }, (_, one) => ({
            fromSeq: n * 501 + 2 + one,
            toSeq: n * 501 + 2 + one,
            results: 1,
            fromScheduledAt: 0,
            toScheduledAt: 0,
            reason: 'none',
          })),
        });
    },
    'one old batch for ever': (liar, nowUs) => {
      const old = sealed(liar, { results: [resultOf(liar, nowUs, 1)] });
      return () => old;
    },
    'a number used again and again': (liar, nowUs) => {
      const stream = newStream();
      return (n) => sealed(liar, { stream, seq: 1, results: [resultOf(liar, nowUs - n, 1)] });
    },
    'signatures that do not hold': (liar) => () => {
      const batch = sealed(liar, {});
      return { ...batch, headers: { ...batch.headers, sig: randomBytes(64) } };
    },
    'keys that nobody has': (liar) => () => {
      const batch = sealed(liar, {});
      return { ...batch, headers: { ...batch.headers, kid: randomBytes(32).toString('base64url') } };
    },
  };

/** Of these one message holds many: they are offered so many times less often. */
export const heavy: Readonly<Record<string, number>> = {
  '500 refused results a batch': 500,
  'a bomb of 1 GiB': 50,
  'two megabytes of odd words': 50,
  'gap records without end': 50,
};
