import type { Database } from '../../hub/store/database.ts';
import type { Outcome } from '../../shared/failure.ts';
import type { Result, ResultKind } from '../../shared/result.ts';
import { resultKey } from '../flow/spool-witness.ts';

/** As migration 0002 says that they stand in the table: not taken from the code that writes them. */
const kinds: Readonly<Record<ResultKind, number>> = { slot: 0, extra: 1, confirm: 2 };
const outcomes: Readonly<Record<Outcome, number>> = { up: 0, degraded: 1, down: 2, skipped: 3 };
const mostInt4 = 2 ** 31 - 1;
const int4 = (value: number | null) => value && Math.min(value, mostInt4);

/** All that a result says, but for its key and what has a table of its own. */
export function saidOf(result: Result): string {
  const { rev, kind, outcome, suspect, truncated, attempts, redirects, status, lateBy, bytes } = result;
  const { failure, firstFailure, httpVersion, remoteIp, timings } = result;
  const { dns, connect, tls, wait, transfer, total } = timings;
  return JSON.stringify([
    ...[rev, kinds[kind], outcomes[outcome], suspect, truncated, attempts, redirects, status],
    ...[lateBy, dns, connect, tls, wait, transfer, total].map(int4),
    ...[bytes, failure?.code ?? null, failure?.message ?? null, firstFailure, httpVersion, remoteIp],
  ]);
}

const columns = [
  ...['rev', 'kind', 'outcome', 'suspect', 'truncated', 'attempts', 'redirects', 'status'],
  ...['late_by_us', 'dns_us', 'connect_us', 'tls_us', 'wait_us', 'transfer_us', 'total_us'],
  ...['bytes', 'failure_code', 'failure_message', 'first_failure', 'http_version', 'remote_ip'],
];

/** The same of each row from an instant in epoch microseconds on, by key. */
export async function saidByRows(db: Database, sinceUs: number): Promise<ReadonlyMap<string, string>> {
  const rows = await db.many<Record<string, unknown> & Parameters<typeof resultKey>[0]>(
    `select endpoint_id as "endpointId", region_id as "regionId", probe_id as "probeId",
            (extract(epoch from scheduled_at) * 1000000)::int8 as "scheduledAt", ${columns.join(', ')}
     from results where scheduled_at >= to_timestamp($1::float8 / 1000000)`,
    [sinceUs],
  );
  return new Map(rows.map((row) => [resultKey(row), JSON.stringify(columns.map((name) => row[name]))]));
}
