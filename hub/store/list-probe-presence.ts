import type { NetworkState } from '../../shared/lease.ts';
import type { Sql } from './database.ts';

/** A probe as the operator's page shows it. Instants are epoch seconds; null where it never asked for a lease. */
export interface ProbePresenceRow {
  readonly id: number;
  readonly name: string;
  readonly regionId: number;
  readonly status: 'pending' | 'active' | 'revoked';
  readonly createdAt: number;
  readonly seenAt: number | null;
  readonly leaseExpiresAt: number | null;
  readonly capacity: number | null;
  readonly noiseUs: number | null;
  readonly dropped: number | null;
  readonly spoolBytes: number | null;
  readonly version: string | null;
  readonly runtime: string | null;
  readonly networkState: NetworkState | null;
  readonly networkSince: number | null;
  readonly networkWhy: string | null;
  /** How far its machine's clock is ahead of hub time. */
  readonly clockOffsetUs: number | null;
  /** Batches and results refused in this hour and the last, and the reason of most of them. */
  readonly refused: number;
  readonly refusedFor: string | null;
}

/** The newest `limit` probes by id; those revoked longer than a week ago are left out. */
export async function listProbePresence(sql: Sql, limit: number): Promise<ProbePresenceRow[]> {
  return sql.many<ProbePresenceRow>(
    `select p.id, p.name, p.region_id as "regionId", p.status, date_part('epoch', p.created_at) as "createdAt",
       date_part('epoch', s.seen_at) as "seenAt", date_part('epoch', s.lease_expires_at) as "leaseExpiresAt",
       s.capacity, s.noise_us as "noiseUs", s.dropped, s.spool_bytes as "spoolBytes", s.version, s.runtime,
       s.network_state as "networkState", date_part('epoch', s.network_since) as "networkSince",
       s.network_why as "networkWhy", s.clock_offset_us as "clockOffsetUs",
       coalesce(j.refused, 0)::int8 as refused, j.reason as "refusedFor"
     from probes p left join probe_presence s on s.probe_id = p.id
     left join (
       select c.probe_id, sum(c.count) as refused, (array_agg(c.reason order by c.count desc, c.reason))[1] as reason
       from reject_counts c
       where c.hour >= date_trunc('hour', now()) - interval '1 hour' and c.probe_id <> 0
       group by c.probe_id
     ) j on j.probe_id = p.id
     where p.status <> 'revoked' or p.revoked_at > now() - interval '7 days'
     order by p.id desc limit $1::int4`,
    [limit],
  );
}
