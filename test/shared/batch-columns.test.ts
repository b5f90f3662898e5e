import { zstdCompressSync } from 'node:zlib';
import avro from 'avsc';
import { expect, test } from 'vitest';
import { encodeBatch, maxBatchResults, openBatch } from '../../shared/batch.ts';
import {
  type Columns,
  certificateColumns,
  place,
  toColumns,
  type WireResult,
} from '../../shared/batch-columns.ts';
import { batchSchemas, currentBatchSchema } from '../../shared/batch-schema.ts';
import type { Result } from '../../shared/result.ts';

const current = String(currentBatchSchema);
const type = avro.Type.forSchema(batchSchemas[currentBatchSchema] as avro.Schema);
const base = 1_800_000_000_000_000;
const stream = '0123456789abcdef'.repeat(2);
const head = { probeId: 17, regionId: 3, seq: 9, leaseVersion: 1, sealedAt: base, gaps: [] };

const rowOf = (index: number, over: Partial<WireResult> = {}): WireResult => ({
  endpointId: index + 1,
  rev: 1,
  kind: 'slot',
  scheduled: index * 1000,
  lateBy: 100,
  attempts: 1,
  outcome: 'up',
  failureCode: null,
  failureMessage: null,
  firstFailure: null,
  suspect: false,
  status: 200,
  httpVersion: '1.1',
  remoteIp: `203.0.113.${index}`,
  redirects: 0,
  timings: { dns: 1, connect: 2, tls: 3, wait: 4, transfer: 5, total: 15 },
  bytes: 9,
  truncated: false,
  tls: { version: 'TLSv1.3', cipher: 'x', issuer: 'y', notAfter: index, fingerprint: `0${index}`.repeat(32) },
  facts: null,
  evidence: null,
  ...over,
});

const honest = toColumns([0, 1, 2].map((index) => rowOf(index)));
const opened = (columns: Partial<Columns>) =>
  openBatch(
    zstdCompressSync(
      type.toBuffer({ ...head, stream: Buffer.from(stream, 'hex'), base, ...honest, ...columns }),
    ),
    current,
  );
/** About the most that a long may be in Avro as it is read here. */
const most = 2 ** 52 - 1;
const filled = (columns: readonly (keyof typeof place)[], value: number) => ({
  numbers: honest.numbers.map((number, index) =>
    columns.some((column) => Math.floor(index / 3) === place[column]) ? value : number,
  ),
});
/** The first result's number in this column is another. */
const changed = (column: keyof typeof place, value: number) => ({
  numbers: honest.numbers.map((number, index) => (index === place[column] * 3 ? value : number)),
});

test('honest columns are opened', () => {
  const { results, refused } = opened({});
  expect(refused).toEqual([]);
  expect(
    results.map((one) => [one.endpointId, one.remoteIp, one.tls?.fingerprint, one.timings.total]),
  ).toEqual([0, 1, 2].map((index) => [index + 1, `203.0.113.${index}`, `0${index}`.repeat(32), 15]));
});

test.each<[string, Partial<Columns>, RegExp]>([
  ['that do not agree in length', { numbers: honest.numbers.slice(1) }, /no whole results/],
  ['with a certificate cut short', { certificates: honest.certificates.slice(1) }, /no whole certificates/],
  ['with a text too few', { texts: honest.texts.slice(1) }, /texts are named/],
  ['with a text too many', { texts: [...honest.texts, 'more'] }, /texts are never named/],
  ['with a fingerprint too few', { fingerprints: honest.fingerprints.subarray(32) }, /fewer fingerprints/],
  ['with a byte too many of fingerprints', { fingerprints: Buffer.alloc(97) }, /more fingerprints/],
  ['with an address too few', { ipv4: honest.ipv4.subarray(4) }, /more addresses/],
  ['with an address too many', { ipv4: Buffer.alloc(16) }, /addresses that are never named/],
  [
    'with certificates that have no words',
    { certificates: new Array<number>(4 * certificateColumns).fill(0), fingerprints: Buffer.alloc(128) },
    /without tls.version/,
  ],
  ['that name a text out of range', changed('kind', 999), /no text 997/],
  ['that name a text before there was one', changed('kind', 2), /no text 0/],
  ['that name a text below zero', changed('kind', -1), /no text -3/],
  ['that name a certificate out of range', changed('tls', 999), /no certificate 997/],
  ['that name a certificate below zero', changed('tls', -9), /no certificate -11/],
  ['that leave a certificate out', changed('tls', 0), /1 certificates are never named/],
  ['that name an address out of range', changed('address', 999), /no address 996/],
  ['that name an address below zero', changed('address', -999), /no text 998/],
  ['without a word that each result has', changed('outcome', 0), /without outcome/],
  ['with flags that nobody has', changed('flags', 4), /flags 4/],
  ['with instants past all numbers', filled(['scheduled'], most), /times of result 3/],
  ['with times past all numbers', filled(['rest', 'dns', 'wait'], most), /times of result 1/],
])('columns %s are refused', (_, columns, message) => {
  const code = 'decode';
  expect(() => opened(columns)).toThrow(expect.objectContaining({ name: 'BatchError', code }));
  expect(() => opened(columns)).toThrow(message);
});

test('the 501st result is told by its number, as in rows', () => {
  const rows = Array.from({ length: maxBatchResults + 1 }, (_, index) => rowOf(index % 10));
  expect(() => opened(toColumns(rows))).toThrow(/501 results/);
});

test('one text that is named five hundred times takes the room of five hundred', () => {
  const long = rowOf(1, { httpVersion: 'x'.repeat(5000) });
  const { scheduled: _, failureCode: __, failureMessage: ___, ...rest } = long;
  const result = {
    ...rest,
    regionId: 3,
    probeId: 17,
    scheduledAt: base,
    startedAt: base,
    failure: null,
  } as Result;
  const results = new Array<Result>(maxBatchResults).fill(result);
  const tooLarge = expect.objectContaining({ name: 'BatchError', code: 'too_large' });
  expect(() => encodeBatch({ ...head, stream, results })).toThrow(tooLarge);
  // As a liar writes it: what the second says, 499 times.
  const two = toColumns([long, long]);
  const numbers = Array.from({ length: two.numbers.length / 2 }, (_, column) =>
    Array.from({ length: maxBatchResults }, (_, row) => two.numbers[2 * column + Math.min(row, 1)] as number),
  ).flat();
  expect(() => opened({ ...two, numbers })).toThrow(tooLarge);
  const short = toColumns([rowOf(1), rowOf(1)]);
  expect(opened({ ...short }).results).toHaveLength(2);
});
