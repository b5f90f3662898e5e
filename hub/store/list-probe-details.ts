import type { NetworkState } from '../../shared/lease.ts';
import type { Sql } from './database.ts';
import { type ProbeRow, type ProbeStatus, probeColumns } from './probe-row.ts';

/** A probe with what it last said of itself. Instants are epoch milliseconds; null where it never asked for a lease. */
export interface ProbeDetails extends ProbeRow {
  readonly createdAt: number;
  readonly revokedAt: number | null;
  readonly seenAt: number | null;
  readonly leaseVersion: number | null;
  readonly leaseExpiresAt: number | null;
  readonly capacity: number | null;
  readonly noiseUs: number | null;
  readonly dropped: number | null;
  readonly spoolBytes: number | null;
  readonly version: string | null;
  readonly runtime: string | null;
  /** What it says of its own network and clock; null for an older probe, as with the three after it. */
  readonly networkState: NetworkState | null;
  readonly networkSince: number | null;
  readonly networkWhy: string | null;
  readonly clockOffsetUs: number | null;
}

export interface ProbePage {
  /** Null for all, as with the two after it. */
  readonly regions: readonly string[] | null;
  readonly status: ProbeStatus | null;
  readonly id: number | null;
  /** Those with a smaller id; null for the newest. */
  readonly before: number | null;
  readonly limit: number;
}

const ms = (column: string) => `floor(date_part('epoch', ${column}) * 1000)::int8`;

/** Newest first. */
export async function listProbeDetails(sql: Sql, page: ProbePage): Promise<ProbeDetails[]> {
  return sql.many<ProbeDetails>(
    `select ${probeColumns},
       ${ms('p.created_at')} as "createdAt", ${ms('p.revoked_at')} as "revokedAt", ${ms('s.seen_at')} as "seenAt",
       s.lease_version as "leaseVersion", ${ms('s.lease_expires_at')} as "leaseExpiresAt",
       s.capacity, s.noise_us as "noiseUs", s.dropped, s.spool_bytes as "spoolBytes", s.version, s.runtime,
       s.network_state as "networkState", ${ms('s.network_since')} as "networkSince", s.network_why as "networkWhy",
       s.clock_offset_us as "clockOffsetUs"
     from probes p join regions r on r.id = p.region_id left join probe_presence s on s.probe_id = p.id
     where ($1::text[] is null or r.name = any($1::text[]))
       and ($2::text is null or p.status = $2::text)
       and ($3::int8 is null or p.id = $3::int8)
       and ($4::int8 is null or p.id < $4::int8)
     order by p.id desc limit $5::int4`,
    [page.regions, page.status, page.id, page.before, page.limit],
  );
}
