import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import {
  boolArray,
  int2Array,
  int4Array,
  int8Array,
  textArray,
  timestamptzArray,
} from '../../../hub/store/binary-array.ts';
import { type Database, openDatabase } from '../../../hub/store/database.ts';
import { type TestDatabase, testDatabase } from '../../harness/postgres.ts';

let database: TestDatabase;
let db: Database;
beforeAll(async () => {
  database = await testDatabase({ empty: true });
  db = openDatabase({ url: database.url, maxConnections: 1 });
});
afterAll(async () => {
  await db.end();
  await database.drop();
});

const nullable = <T>(values: fc.Arbitrary<T>) => fc.array(fc.option(values), { maxLength: 50 });
const text = fc.string({ unit: 'binary', maxLength: 80 }).map((value) => value.replaceAll('\0', ''));
// Below 2^53 microseconds.
const instant = fc.integer({ min: 0, max: 9_000_000_000_000 }).map((ms) => ms * 1000);

test.each([
  ['int8', int8Array, nullable(fc.maxSafeInteger())],
  ['int4', int4Array, nullable(fc.integer())],
  ['int2', int2Array, nullable(fc.integer({ min: -32_768, max: 32_767 }))],
  ['bool', boolArray, nullable(fc.boolean())],
  ['text', textArray, nullable(text)],
] as [string, (values: unknown[]) => Buffer, fc.Arbitrary<unknown[]>][])(
  '%s arrays arrive as they were sent',
  async (type, encode, values) => {
    await fc.assert(
      fc.asyncProperty(values, async (sent) => {
        // As a table: the array type's own text form would lose what is between quotes.
        const rows = await db.many<{ value: unknown }>(
          `select value from unnest($1::${type}[]) as t (value)`,
          [encode(sent)],
        );
        expect(rows.map((row) => row.value)).toEqual(sent);
      }),
      { numRuns: 60 },
    );
  },
);

test('timestamptz arrays keep microseconds', async () => {
  await fc.assert(
    fc.asyncProperty(
      nullable(instant.chain((us) => fc.nat({ max: 999 }).map((more) => us + more))),
      async (sent) => {
        const rows = await db.many<{ us: number | null }>(
          `select (extract(epoch from value) * 1000000)::int8 as us from unnest($1::timestamptz[]) as t (value)`,
          [timestamptzArray(sent)],
        );
        expect(rows.map((row) => row.us)).toEqual(sent);
      },
    ),
    { numRuns: 60 },
  );
});

test.each([
  ['a number past its type', () => int2Array([32_768])],
  ['a number that is no integer', () => int8Array([Number.NaN])],
  ['a number past 2^53', () => int8Array([2 ** 53])],
  ['a text with NUL', () => textArray(['a\0b'])],
])('%s is refused before it is sent', (_, encode) => {
  expect(encode).toThrow(RangeError);
});
