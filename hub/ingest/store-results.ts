import type { Sql } from '../store/database.ts';
import { findDuplicateResults } from '../store/find-duplicate-results.ts';
import { insertResults, maxRowsPerStatement, type ResultRow } from '../store/insert-results.ts';
import { newestOfEach, upsertLatestResults } from '../store/upsert-latest-results.ts';
import type { Reject } from './reject.ts';
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
export async function storeResults(sql: Sql, batches: readonly VerifiedBatch[]): Promise<StoredResults> {
  const rows = batches.flatMap((batch) =>
    batch.results.map((result): OwnedRow => ({ batch, result, regionId: batch.regionId })),
  );
  let inserted = 0;
  for (const chunk of chunksOf(rows)) inserted += await insertResults(sql, chunk);
  const there = inserted < rows.length ? await duplicatesAmong(sql, rows) : new Set<number>();
  const stored = there.size === 0 ? rows : rows.filter((_, index) => !there.has(index));
  for (const chunk of chunksOf(newestOfEach(stored))) await upsertLatestResults(sql, chunk);
  const duplicates = [...there].flatMap((index) => rows[index] ?? []).map(duplicateSlot);
  return { rows: stored.length, duplicates };
}

/** Rows the table held before, and those that came twice in this very transaction. */
async function duplicatesAmong(sql: Sql, rows: readonly OwnedRow[]): Promise<Set<number>> {
  const there = new Set<number>();
  const seen = new Set<string>();
  for (const [index, { result, regionId }] of rows.entries()) {
    const key = `${result.endpointId}|${regionId}|${result.scheduledAt}|${result.probeId}`;
    if (seen.has(key)) there.add(index);
    seen.add(key);
  }
  let at = 0;
  for (const chunk of chunksOf(rows)) {
    for (const place of await findDuplicateResults(sql, chunk)) there.add(at + place);
    at += chunk.length;
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
