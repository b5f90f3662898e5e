import type { Sql, TransactionSql } from '../store/database.ts';
import { findDuplicateResults } from '../store/find-duplicate-results.ts';
import { insertEvidence } from '../store/insert-evidence.ts';
import { copyResults, insertResults, maxRowsPerStatement, type ResultRow } from '../store/insert-results.ts';
import { newestOfEach, upsertLatestResults } from '../store/upsert-latest-results.ts';
import type { CertificateIds } from './certificates.ts';
import type { Reject } from './reject.ts';
import type { Repeaters } from './repeaters.ts';
import type { VerifiedBatch } from './verify.ts';

interface OwnedRow extends ResultRow {
  readonly batch: VerifiedBatch;
}

export interface StoredResults {
  readonly rows: number;
  /** Slots that the table holds from another batch of the same probe. */
  readonly duplicates: readonly Reject[];
}

/** Stores what the batches hold, and the newest of each pair beside it. */
export async function storeResults(
  sql: TransactionSql,
  batches: readonly VerifiedBatch[],
  repeaters: Repeaters,
  certificateIds: CertificateIds,
): Promise<StoredResults> {
  const rows = batches.flatMap((batch) =>
    batch.results.map((result, index): OwnedRow => {
      const tlsId = certificateIds.get(batch)?.[index] ?? null;
      return { batch, result, regionId: batch.regionId, tlsId };
    }),
  );
  if (rows.length === 0) return { rows: 0, duplicates: [] };
  // A probe's slots in one order: who sends the same in two streams, in two orders, would have two transactions wait in
  // a circle, for a second each time. Equal ones stay as they came, and the first is stored.
  rows.sort(bySlot);
  const { usual = [], repeated = [] } = Object.groupBy(rows, ({ result }) =>
    repeaters.has(result.probeId) ? 'repeated' : 'usual',
  );
  const copied = await copyAll(sql, usual);
  const there = await insertEach(sql, copied ? repeated : rows);
  for (const { result } of there) repeaters.note(result.probeId);
  const stored = there.size === 0 ? rows : rows.filter((row) => !there.has(row));
  for (const chunk of chunksOf(newestOfEach(stored))) await upsertLatestResults(sql, chunk);
  await insertEvidence(sql, stored);
  return { rows: stored.length, duplicates: [...there].map(duplicateSlot) };
}

function bySlot({ result: a }: OwnedRow, { result: b }: OwnedRow): number {
  return a.endpointId - b.endpointId || a.scheduledAt - b.scheduledAt;
}

/** False, and nothing done, where a row is there already or stands in it twice. */
async function copyAll(sql: TransactionSql, rows: readonly OwnedRow[]): Promise<boolean> {
  if (rows.length === 0) return true;
  await sql.run('savepoint copied');
  try {
    await copyResults(sql, rows);
    await sql.run('release savepoint copied');
    return true;
  } catch (error) {
    if ((error as { code?: unknown }).code !== uniqueViolation) throw error;
    await sql.run('rollback to savepoint copied');
    // Rolled back it still stands: rows of the transaction itself are told from others by their xmin.
    await sql.run('release savepoint copied');
    return false;
  }
}

const uniqueViolation = '23505';

/** Each row unless it is there already; returns those that were. */
async function insertEach(sql: Sql, rows: readonly OwnedRow[]): Promise<Set<OwnedRow>> {
  let inserted = 0;
  for (const chunk of chunksOf(rows)) inserted += await insertResults(sql, chunk);
  return inserted < rows.length ? duplicatesAmong(sql, rows) : new Set();
}

/** Rows the table held before, and those that came twice in this very transaction. */
async function duplicatesAmong(sql: Sql, rows: readonly OwnedRow[]): Promise<Set<OwnedRow>> {
  const there = new Set<OwnedRow>();
  const seen = new Set<string>();
  for (const row of rows) {
    const { result, regionId } = row;
    const key = `${result.endpointId}|${regionId}|${result.scheduledAt}|${result.probeId}`;
    if (seen.has(key)) there.add(row);
    seen.add(key);
  }
  for (const chunk of chunksOf(rows)) {
    for (const place of await findDuplicateResults(sql, chunk)) {
      const row = chunk[place];
      if (row) there.add(row);
    }
  }
  return there;
}

function* chunksOf<Row>(rows: readonly Row[]): Generator<readonly Row[]> {
  for (let at = 0; at < rows.length; at += maxRowsPerStatement) {
    yield rows.slice(at, at + maxRowsPerStatement);
  }
}

function duplicateSlot({ batch, result }: OwnedRow): Reject {
  return {
    reason: 'duplicate_slot',
    detail: `endpoint ${result.endpointId}, scheduled at ${result.scheduledAt}`,
    kid: batch.incoming.headers.kid,
    probeId: result.probeId,
    stream: batch.claim?.stream ?? null,
    seq: batch.claim?.seq ?? null,
    position: batch.incoming.position,
    content: () => Buffer.from(JSON.stringify(result)),
  };
}
