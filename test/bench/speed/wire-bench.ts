import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import { encodeBatch, maxBatchResults } from '../../../shared/batch.ts';
import { currentBatchSchema } from '../../../shared/batch-schema.ts';
import { kafkaHeaders } from '../../../shared/relay.ts';
import type { Result } from '../../../shared/result.ts';
import { ed25519Thumbprint, signBytes } from '../../../shared/signing.ts';
import { type Row, row } from '../report.ts';
import { type ProbeShare, resultAt, sharesOf } from './load-shape.ts';

const sizes = [1, 10, 100, maxBatchResults] as const;
const batchesEach = 20;
const budgetBytes = 60;
/** A Kafka record of a batch of its own, over key, value and headers: record batch header 61, record fields about 10. */
const framingBytes = 71;

/** Bytes a result takes between probe and broker, beside JSON with gzip of the same results. */
export async function benchWire(say: (line: string) => void): Promise<Row[]> {
  const [share] = sharesOf({ endpoints: 20_000, regions: 1, probes: 1, intervalUs: 60_000_000 });
  if (!share) throw new Error('there is no share');
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  const kid = ed25519Thumbprint(publicKey.export({ format: 'jwk' }).x ?? '');
  const rows: Row[] = [];
  for (const size of sizes) {
    let [value, around, json] = [0, 0, 0];
    for (let n = 0; n < batchesEach; n += 1) {
      const results = resultsOf(share, n * size, size);
      const stream = randomBytes(16).toString('hex');
      const sealed = encodeBatch({
        probeId: share.probeId,
        regionId: share.regionId,
        stream,
        seq: n + 1,
        leaseVersion: startUs / 1000,
        sealedAt: (results.at(-1)?.startedAt ?? startUs) + 1_000_000,
        results,
        gaps: [],
      });
      const headers = [kid, signBytes(privateKey, sealed), String(currentBatchSchema)];
      value += sealed.length;
      around +=
        stream.length + namesBytes + headers.reduce((sum, each) => sum + each.length, 0) + framingBytes;
      json += gzipSync(JSON.stringify(results)).length;
    }
    const each = size * batchesEach;
    const what = `${size} a batch`;
    say(
      `${what}: ${(value / each).toFixed(1)} bytes a result, ${(around / batchesEach).toFixed(0)} around a batch`,
    );
    rows.push(
      row({
        bench: 'wire',
        what: `bytes a result, ${what}`,
        value: value / each,
        unit: 'B',
        peer: json / each,
        limit: null,
        budget: size === maxBatchResults ? budgetBytes : null,
      }),
      row({
        bench: 'wire',
        what: `with key, signature, headers and Kafka's framing, ${what}`,
        value: (value + around) / each,
        unit: 'B',
        peer: null,
        limit: null,
        budget: null,
      }),
    );
  }
  return rows;
}

const startUs = 1_788_000_000_000_000;
const namesBytes = Object.values(kafkaHeaders).reduce((sum, name) => sum + name.length + 2, 0);

/** As they come one after the other at a probe that checks its whole share every minute. */
function resultsOf(share: ProbeShare, from: number, count: number): Result[] {
  const { endpointIds } = share;
  const stepUs = Math.floor(60_000_000 / endpointIds.length);
  return Array.from({ length: count }, (_, index) =>
    resultAt(share, endpointIds[from + index] ?? 1, startUs + (from + index) * stepUs),
  );
}
