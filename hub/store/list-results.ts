import type { Facts } from '../../shared/facts.ts';
import { failureTable, isFailureCode, outcomes } from '../../shared/failure.ts';
import { type Result, resultKinds, type TlsFacts } from '../../shared/result.ts';
import type { Sql } from './database.ts';

/** Where a walk from new to old stands: below this row. */
export interface ResultsCursor {
  readonly scheduledAt: number;
  readonly regionId: number;
  readonly probeId: number;
}

export interface ResultsQuery {
  readonly endpointId: number;
  readonly regionIds: readonly number[];
  /** Epoch microseconds, inclusive. */
  readonly fromUs: number | null;
  /** Exclusive. */
  readonly toUs: number | null;
  readonly after: ResultsCursor | null;
  readonly limit: number;
}

export interface ResultRow {
  endpoint_id: number;
  region_id: number;
  scheduled_us: number;
  probe_id: number;
  rev: number;
  kind: number;
  outcome: number;
  suspect: boolean;
  truncated: boolean;
  attempts: number;
  redirects: number;
  status: number | null;
  late_by_us: number;
  dns_us: number | null;
  connect_us: number | null;
  tls_us: number | null;
  wait_us: number | null;
  transfer_us: number | null;
  total_us: number;
  bytes: number;
  failure_code: string | null;
  failure_message: string | null;
  first_failure: string | null;
  http_version: string | null;
  remote_ip: string | null;
  tls: TlsFacts | null;
  facts: Facts | null;
}

/** What resultOf reads, of `results r`. Instants as text: neither a Date nor a double holds them to the microsecond. */
export const resultColumns = `r.endpoint_id, r.region_id, (extract(epoch from r.scheduled_at) * 1000000)::int8 as scheduled_us, r.probe_id,
  r.rev, r.kind, r.outcome, r.suspect, r.truncated, r.attempts, r.redirects, r.status, r.late_by_us, r.dns_us,
  r.connect_us, r.tls_us, r.wait_us, r.transfer_us, r.total_us, r.bytes, r.failure_code, r.failure_message,
  r.first_failure, r.http_version, r.remote_ip, r.facts,
  coalesce(r.tls, (select facts from certificates c where c.id = r.tls_id)) as tls`;

const text = `
select ${resultColumns}
from unnest($2::int2[]) as wanted (region_id)
cross join lateral (
  select * from results
  where endpoint_id = $1::int8 and results.region_id = wanted.region_id
    and scheduled_at >= $3::timestamptz and scheduled_at < $4::timestamptz and scheduled_at <= $5::timestamptz
    and (scheduled_at, results.region_id, probe_id) < ($5::timestamptz, $6::int2, $7::int8)
  order by scheduled_at desc, probe_id desc
  limit $8::int
) r
order by r.scheduled_at desc, r.region_id desc, r.probe_id desc
limit $8::int`;

/** Newest first. Each region's rows come along the primary key, partition by partition, and no further than needed. */
export async function listResults(sql: Sql, query: ResultsQuery): Promise<Result[]> {
  return (await sql.many<ResultRow>(text, valuesOf(query))).map(resultOf);
}

/** $1 to $8: endpoint, regions, from, to, the place after which it goes on, limit. */
export function valuesOf({ endpointId, regionIds, fromUs, toUs, after, limit }: ResultsQuery): unknown[] {
  return [
    endpointId,
    regionIds,
    fromUs === null ? '-infinity' : instant(fromUs),
    toUs === null ? 'infinity' : instant(toUs),
    after ? instant(after.scheduledAt) : 'infinity',
    after?.regionId ?? 0,
    after?.probeId ?? 0,
    limit,
  ];
}

/** Microseconds that a Date would cut. */
export function instant(us: number): string {
  const whole = Math.floor(us / 1_000_000);
  const rest = String(us - whole * 1_000_000).padStart(6, '0');
  return new Date(whole * 1000).toISOString().replace('.000Z', `.${rest}Z`);
}

export function resultOf(row: ResultRow): Result {
  const code = row.failure_code !== null && isFailureCode(row.failure_code) ? row.failure_code : null;
  const first = row.first_failure !== null && isFailureCode(row.first_failure) ? row.first_failure : null;
  return {
    endpointId: row.endpoint_id,
    rev: row.rev,
    regionId: row.region_id,
    probeId: row.probe_id,
    kind: resultKinds[row.kind] ?? 'slot',
    scheduledAt: row.scheduled_us,
    startedAt: row.scheduled_us + row.late_by_us,
    attempts: row.attempts,
    outcome: outcomes[row.outcome] ?? 'skipped',
    failure: code && { code, source: failureTable[code].source, message: row.failure_message ?? '' },
    firstFailure: first,
    suspect: row.suspect,
    status: row.status,
    httpVersion: row.http_version,
    remoteIp: row.remote_ip,
    redirects: row.redirects,
    timings: {
      dns: row.dns_us,
      connect: row.connect_us,
      tls: row.tls_us,
      wait: row.wait_us,
      transfer: row.transfer_us,
      total: row.total_us,
    },
    bytes: row.bytes,
    truncated: row.truncated,
    tls: row.tls,
    facts: row.facts,
    evidence: null,
    lateBy: row.late_by_us,
  };
}
