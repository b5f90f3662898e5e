import { isFailureCode, outcomes } from '../../shared/failure.ts';
import type { Sample } from '../compare/compare-probes.ts';
import { int8Array } from './binary-array.ts';
import type { Sql } from './database.ts';

/** Slots of one probe, of each of these endpoints the newest. */
export interface SamplesQuery {
  readonly probeId: number;
  readonly regionId: number;
  readonly endpointIds: readonly number[];
  /** Epoch microseconds: inclusive, exclusive. */
  readonly fromUs: number;
  readonly toUs: number;
  readonly mostOfEach: number;
}

interface Row {
  endpoint_id: number;
  scheduled_us: number;
  outcome: number;
  suspect: boolean;
  failure_code: string | null;
  dns_us: number | null;
  connect_us: number | null;
  tls_us: number | null;
  wait_us: number | null;
  transfer_us: number | null;
  total_us: number;
}

/** Each endpoint's rows come along the primary key, and no further than needed. */
export async function listSamples(sql: Sql, query: SamplesQuery): Promise<Sample[]> {
  const rows = await sql.many<Row>(
    `select r.* from unnest($1::int8[]) as wanted (endpoint_id)
     cross join lateral (
       select endpoint_id, (extract(epoch from scheduled_at) * 1000000)::int8 as scheduled_us, outcome, suspect,
         failure_code, dns_us, connect_us, tls_us, wait_us, transfer_us, total_us
       from results
       where results.endpoint_id = wanted.endpoint_id and region_id = $2::int2 and probe_id = $3::int8
         and scheduled_at >= 'epoch'::timestamptz + $4::int8 * interval '1 microsecond'
         and scheduled_at < 'epoch'::timestamptz + $5::int8 * interval '1 microsecond' and kind = 0
       order by scheduled_at desc limit $6::int4
     ) r`,
    [int8Array(query.endpointIds), query.regionId, query.probeId, query.fromUs, query.toUs, query.mostOfEach],
  );
  return rows.map((row) => ({
    endpointId: row.endpoint_id,
    scheduledAt: row.scheduled_us,
    outcome: outcomes[row.outcome] ?? 'skipped',
    suspect: row.suspect,
    code: row.failure_code !== null && isFailureCode(row.failure_code) ? row.failure_code : null,
    timings: {
      dns: row.dns_us,
      connect: row.connect_us,
      tls: row.tls_us,
      wait: row.wait_us,
      transfer: row.transfer_us,
      total: row.total_us,
    },
  }));
}
