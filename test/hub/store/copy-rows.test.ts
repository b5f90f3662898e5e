import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { copyRows } from '../../../hub/store/copy-rows.ts';
import { type Database, openDatabase } from '../../../hub/store/database.ts';
import { type TestDatabase, testDatabase } from '../../harness/postgres.ts';

let database: TestDatabase;
let db: Database;
beforeAll(async () => {
  database = await testDatabase({ empty: true });
  db = openDatabase({ url: database.url, maxConnections: 2 });
  await db.run(
    `create table copied (n int4 primary key, b bool not null, i2 int2, i4 int4, i8 int8, at timestamptz not null,
       t text, j jsonb)`,
  );
});
afterAll(async () => {
  await db.end();
  await database.drop();
});

interface Row {
  readonly b: boolean;
  readonly i2: number | null;
  readonly i4: number | null;
  readonly i8: number | null;
  /** Epoch microseconds. */
  readonly at: number;
  readonly t: string | null;
  readonly j: string | null;
}

const safe = fc.integer({ min: -(2 ** 53 - 1), max: 2 ** 53 - 1 });
const sound = (text: string) => text.replaceAll('\0', '').toWellFormed();
const arbitraryRow: fc.Arbitrary<Row> = fc.record({
  b: fc.boolean(),
  i2: fc.option(fc.integer({ min: -32_768, max: 32_767 })),
  i4: fc.option(fc.integer()),
  i8: fc.option(safe),
  at: fc.integer({ min: 0, max: 4_000_000_000_000_000 }),
  t: fc.option(fc.string({ unit: 'grapheme', maxLength: 300 }).map(sound)),
  j: fc.option(fc.string({ unit: 'grapheme' }).map((text) => JSON.stringify({ text: sound(text) }))),
});

function encoded(rows: readonly Row[]): Buffer {
  const out = copyRows(0);
  for (const [n, row] of rows.entries()) {
    out.row(8);
    out.int4(n);
    out.bool(row.b);
    out.int2(row.i2);
    out.int4(row.i4);
    out.int8(row.i8);
    out.timestamptz(row.at);
    out.text(row.t);
    out.jsonb(row.j);
  }
  return out.end();
}

const copy = 'copy copied from stdin (format binary)';

test('what is copied is what comes back', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(arbitraryRow, { maxLength: 50 }), async (rows) => {
      await db.run('truncate copied');
      expect(await db.transaction((sql) => sql.copy(copy, encoded(rows)))).toBe(rows.length);
      const found = await db.many<Row>(
        `select b, i2, i4, i8, (extract(epoch from at) * 1000000)::int8 as at, t, j::text as j from copied order by n`,
      );
      const tidy = (j: string | null) => j && JSON.parse(j);
      expect(found.map((row) => ({ ...row, j: tidy(row.j) }))).toEqual(
        rows.map((row) => ({ ...row, j: tidy(row.j) })),
      );
    }),
    { numRuns: 50 },
  );
});

test('many megabytes go in one statement', async () => {
  const row: Row = { b: true, i2: 1, i4: 2, i8: 3, at: 4, t: 'ü'.repeat(500), j: null };
  await db.run('truncate copied');
  const rows = Array.from({ length: 10_000 }, () => row);
  expect(await db.transaction((sql) => sql.copy(copy, encoded(rows)))).toBe(10_000);
});

test.for([
  ['a text with a NUL', { t: 'a\0b' }],
  ['a smallint that is none', { i2: 40_000 }],
  ['an integer that is none', { i4: 2 ** 31 }],
  ['a number past 2^53', { i8: 2 ** 53 }],
] as const)('%s is refused before it is sent', ([, over]) => {
  const row: Row = { b: true, i2: null, i4: null, i8: null, at: 0, t: null, j: null };
  expect(() => encoded([{ ...row, ...over }])).toThrow(RangeError);
});

test('a row that the table refuses fails the copy with its code, and the connection goes on', async () => {
  await db.run('truncate copied');
  const row: Row = { b: true, i2: null, i4: null, i8: null, at: 0, t: null, j: null };
  await db.transaction((sql) => sql.copy(copy, encoded([row])));
  await db.transaction(async (sql) => {
    await sql.run('savepoint before');
    const many = Array.from({ length: 5000 }, () => row);
    await expect(sql.copy(copy, encoded(many))).rejects.toMatchObject({ code: '23505' });
    await sql.run('rollback to savepoint before');
    expect(await sql.one('select count(*)::int4 as count from copied')).toEqual({ count: 1 });
  });
  expect(db.pool()).toMatchObject({ total: 1, idle: 1 });
});

test('a copy that the server does not answer ends with the time a statement has', async () => {
  const hasty = openDatabase({ url: database.url, maxConnections: 1, queryTimeoutMs: 300 });
  const held = db.transaction(async (sql) => {
    await sql.run('lock table copied in access exclusive mode');
    const row: Row = { b: true, i2: null, i4: null, i8: null, at: 0, t: null, j: null };
    await expect(hasty.transaction((other) => other.copy(copy, encoded([row])))).rejects.toThrow(/timeout/);
  });
  await held;
  await hasty.end();
});
