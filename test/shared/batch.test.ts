import { generateKeyPairSync } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import avro from 'avsc';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  type Batch,
  BatchError,
  decodeBatch,
  encodeBatch,
  maxBatchBytes,
  maxBatchResults,
  maxInflatedBytes,
  openBatch,
} from '../../shared/batch.ts';
import { batchSchemas, currentBatchSchema } from '../../shared/batch-schema.ts';
import type { Result } from '../../shared/result.ts';
import { signBytes, verifyBytes } from '../../shared/signing.ts';
import { arbitraryBatch } from './arbitrary-result.ts';

const current = String(currentBatchSchema);
const { privateKey, publicKey } = generateKeyPairSync('ed25519');

describe('the batch codec', () => {
  test.each([2, 3])('what was encoded in schema %i is decoded, for any batch', (schema) => {
    fc.assert(
      fc.property(arbitraryBatch, (batch) => {
        expect(decodeBatch(encodeBatch(batch, schema), String(schema))).toEqual(batch);
      }),
      { numRuns: 300 },
    );
  });

  test('columns hold what rows hold, whatever strangers make of it', () => {
    const words = fc.constantFrom(
      '',
      'slot',
      '::1',
      '0.0.0.0',
      '1.2.3',
      '01.2.3.4',
      '256.1.1.1',
      '1.2.3.4',
      '1.2.3.4.',
    );
    const odd = fc.record({
      httpVersion: words,
      remoteIp: words,
      status: fc.option(fc.integer({ min: -3, max: 3 })),
      fingerprint: fc.oneof(words, fc.constantFrom('ab'.repeat(32), 'AB'.repeat(32), 'cd'.repeat(32))),
      notAfter: fc.constantFrom(-1, 0, 2 ** 45),
      wait: fc.option(fc.integer({ min: -3, max: 3 })),
    });
    fc.assert(
      fc.property(arbitraryBatch, fc.array(odd, { minLength: 1, maxLength: 12 }), (batch, odds) => {
        const results = odds.flatMap(({ fingerprint, notAfter, wait, ...rest }) =>
          batch.results.slice(0, 2).map((result) => ({
            ...result,
            ...rest,
            tls: result.tls && { ...result.tls, fingerprint, notAfter },
            timings: { ...result.timings, wait },
          })),
        );
        const [rows, columns] = [2, 3].map((schema) =>
          decodeBatch(encodeBatch({ ...batch, results }, schema), String(schema)),
        );
        expect(columns).toEqual(rows);
        expect(columns?.results).toEqual(results);
      }),
    );
  });

  test('no byte can be changed without the signature noticing', () => {
    fc.assert(
      fc.property(
        arbitraryBatch,
        fc.nat(),
        fc.integer({ min: 1, max: 255 }),
        fc.nat({ max: 63 }),
        (batch, at, flip, signatureAt) => {
          const value = Buffer.from(encodeBatch(batch));
          const signature = signBytes(privateKey, value);
          expect(verifyBytes(publicKey, value, signature)).toBe(true);
          const changed = Buffer.from(value);
          changed[at % value.length] = (changed[at % value.length] ?? 0) ^ flip;
          expect(verifyBytes(publicKey, changed, signature)).toBe(false);
          const forged = Buffer.from(signature);
          forged[signatureAt] = (forged[signatureAt] ?? 0) ^ flip;
          expect(verifyBytes(publicKey, value, forged)).toBe(false);
          expect(verifyBytes(publicKey, value.subarray(0, -1), signature)).toBe(false);
        },
      ),
      { numRuns: 200 },
    );
  });

  test('whatever bytes come, it decodes or throws BatchError', () => {
    const open = (bytes: Uint8Array) => {
      try {
        openBatch(bytes, current);
      } catch (error) {
        expect(error).toBeInstanceOf(BatchError);
      }
    };
    fc.assert(fc.property(fc.uint8Array({ maxLength: 500 }), open));
    fc.assert(fc.property(fc.uint8Array({ maxLength: 500 }), (raw) => open(zstdCompressSync(raw))));
    fc.assert(
      fc.property(arbitraryBatch, fc.nat(), fc.integer({ min: 1, max: 255 }), (batch, at, flip) => {
        const value = Buffer.from(encodeBatch(batch));
        value[at % value.length] = (value[at % value.length] ?? 0) ^ flip;
        open(value);
      }),
    );
  });

  test.each([
    ['schema_unknown', Buffer.alloc(0), '99'],
    ['too_large', Buffer.alloc(maxBatchBytes + 1), current],
    ['inflate', Buffer.from('not zstd'), current],
    ['inflate', zstdCompressSync(Buffer.alloc(maxInflatedBytes + 1)), current],
    ['decode', zstdCompressSync(Buffer.from([1, 2, 3])), current],
  ] as const)('refuses with %s', (code, value, schema) => {
    expect(() => decodeBatch(value, schema)).toThrow(expect.objectContaining({ name: 'BatchError', code }));
  });

  // A zigzag varint of 2^40, and of -2^40 with the block's size after it, where the number of results stands.
  test.each([
    ['2^40 results', [0x80, 0x80, 0x80, 0x80, 0x80, 0x40]],
    ['a block of 2^40 results', [0xff, 0xff, 0xff, 0xff, 0xff, 0x3f, 0x02]],
    ['2000 results and no more bytes', [0xa0, 0x1f]],
  ])('a few bytes that announce %s are refused at once', (_, count) => {
    const empty = zstdDecompressSync(encodeBatch({ ...sampleBatch(0), gaps: [] }));
    // The six last bytes of an empty batch are the lengths of its columns and of its gaps.
    const raw = Buffer.concat([empty.subarray(0, -6), Buffer.from(count)]);
    const before = process.memoryUsage().heapUsed;
    expect(() => openBatch(zstdCompressSync(raw), current)).toThrow(
      expect.objectContaining({ name: 'BatchError', code: 'decode' }),
    );
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(50_000_000);
  });

  test('refuses more results than a batch has', () => {
    const batch = sampleBatch(maxBatchResults + 1);
    expect(() => decodeBatch(encodeBatch(batch), current)).toThrow(
      expect.objectContaining({ code: 'too_large' }),
    );
  });

  test('a word that a newer probe may say spoils its own result alone', () => {
    const odd = { outcome: 'sideways' } as unknown as Result;
    const batch = sampleBatch(3);
    const results = batch.results.map((result, index) => (index === 1 ? { ...result, ...odd } : result));
    const opened = openBatch(encodeBatch({ ...batch, results }), current);
    expect(opened.results).toEqual([results[0], results[2]]);
    expect(opened.refused.map(({ why }) => why)).toEqual(['outcome or kind is not known here']);
  });

  test('a full batch takes at most 60 bytes a result on the wire', () => {
    const bytes = encodeBatch(sampleBatch(maxBatchResults)).length;
    expect(bytes / maxBatchResults).toBeLessThanOrEqual(60);
  });
});

describe('schemas of the past', () => {
  const since: Readonly<Record<number, object>> = { 1: { facts: null, evidence: null } };

  test.each(Object.keys(batchSchemas))(
    'a batch recorded with schema %s still decodes to what it said',
    async (version) => {
      const folder = join(import.meta.dirname, 'recorded');
      const value = await readFile(join(folder, `batch-v${version}.bin`));
      const said = JSON.parse(await readFile(join(folder, `batch-v${version}.json`), 'utf8')) as Batch;
      // What was no field yet then is null.
      const results = said.results.map((result) => ({ ...since[Number(version)], ...result }));
      expect(decodeBatch(value, version)).toEqual({ ...said, results });
    },
  );

  test('a reader of the first schema reads what is written in the second, and one of the second the first', () => {
    const [first, second] = [1, 2].map((version) =>
      avro.Type.forSchema(batchSchemas[version] as avro.Schema),
    );
    expect(() => first?.createResolver(second as avro.Type)).not.toThrow();
    expect(() => second?.createResolver(first as avro.Type)).not.toThrow();
  });
});

/** As a probe writes them: one region, many endpoints, figures that differ from check to check. */
function sampleBatch(count: number) {
  const base = 1_800_000_000_000_000;
  let seed = 1;
  const noise = (most: number) => {
    seed = (seed * 48_271) % 2_147_483_647;
    return seed % most;
  };
  const results = Array.from(
    { length: count },
    (_, index): Result => ({
      endpointId: 1000 + index,
      rev: 1 + noise(5),
      regionId: 3,
      probeId: 17,
      kind: 'slot',
      scheduledAt: base + index * 20_000 + noise(20_000),
      startedAt: 0,
      attempts: 1,
      outcome: 'up',
      failure: null,
      firstFailure: null,
      suspect: false,
      status: 200,
      httpVersion: '1.1',
      remoteIp: `203.0.113.${noise(250)}`,
      redirects: 0,
      timings: {
        dns: noise(5000),
        connect: noise(40_000),
        tls: noise(60_000),
        wait: noise(200_000),
        transfer: noise(4000),
        total: noise(300_000),
      },
      bytes: noise(100_000),
      truncated: false,
      facts: null,
      evidence: null,
      tls: null,
      lateBy: noise(3000),
    }),
  ).map((result) => ({ ...result, startedAt: result.scheduledAt + result.lateBy }));
  return {
    probeId: 17,
    regionId: 3,
    stream: '0123456789abcdef'.repeat(2),
    seq: 9,
    leaseVersion: 1_800_000_000_000,
    sealedAt: base + 10_000_000,
    results,
    gaps: [],
  };
}
