import type { LeaseRequest } from '../../shared/lease.ts';
import { int4Array, int8Array, textArray, timestamptzArray } from './binary-array.ts';
import type { Sql } from './database.ts';

export interface Arrival {
  readonly probeId: number;
  readonly request: LeaseRequest;
  /** Epoch microseconds: when it asked, which is when it was alive. */
  readonly seenUs: number;
  readonly leaseExpiresUs: number;
  /** The least version its next lease may have, whatever the database remembers. */
  readonly leastVersion: number;
}

/**
 * Notes that these probes asked, and gives each the version of its next lease: one above the last, at least
 * `leastVersion`. One statement for many probes, each at most once, locked in the order of their ids.
 */
export async function upsertPresence(sql: Sql, arrivals: readonly Arrival[]): Promise<Map<number, number>> {
  const sorted = arrivals.toSorted((a, b) => a.probeId - b.probeId);
  const asked = sorted.map(({ request }) => request);
  const rows = await sql.many<{ probeId: number; version: number }>(
    `insert into probe_presence as p (
       probe_id, seen_at, lease_version, lease_expires_at, manifest, capacity, noise_us, dropped, spool_bytes,
       version, runtime, network_state, network_since, network_why, clock_offset_us)
     select a.* from unnest(
       $1::int8[], $2::timestamptz[], $3::int8[], $4::timestamptz[], $5::text[], $6::int4[], $7::int4[], $8::int8[],
       $9::int8[], $10::text[], $11::text[], $12::text[], $13::timestamptz[], $14::text[], $15::int8[])
       as a (probe_id, seen_at, lease_version, lease_expires_at, manifest, capacity, noise_us, dropped, spool_bytes,
             version, runtime, network_state, network_since, network_why, clock_offset_us)
     -- a probe that was deleted meanwhile has no presence
     where exists (select from probes k where k.id = a.probe_id)
     on conflict (probe_id) do update set
       seen_at = excluded.seen_at, lease_version = greatest(p.lease_version + 1, excluded.lease_version),
       lease_expires_at = excluded.lease_expires_at, manifest = excluded.manifest, capacity = excluded.capacity,
       noise_us = excluded.noise_us, dropped = excluded.dropped, spool_bytes = excluded.spool_bytes,
       version = excluded.version, runtime = excluded.runtime, network_state = excluded.network_state,
       network_since = excluded.network_since, network_why = excluded.network_why,
       clock_offset_us = excluded.clock_offset_us
     returning p.probe_id as "probeId", p.lease_version as version`,
    [
      int8Array(sorted.map((one) => one.probeId)),
      timestamptzArray(sorted.map((one) => one.seenUs)),
      int8Array(sorted.map((one) => one.leastVersion)),
      timestamptzArray(sorted.map((one) => one.leaseExpiresUs)),
      textArray(asked.map(({ manifest }) => manifest ?? '')),
      int4Array(asked.map(({ capacity }) => capacity)),
      int4Array(asked.map(({ noise }) => Math.min(noise, 2 ** 31 - 1))),
      int8Array(asked.map(({ dropped }) => dropped)),
      int8Array(asked.map(({ spoolBytes }) => spoolBytes)),
      textArray(asked.map(({ version }) => withoutNul(version))),
      textArray(asked.map(({ runtime }) => withoutNul(runtime))),
      textArray(asked.map(({ network }) => network?.state ?? null)),
      timestamptzArray(asked.map(({ network }) => (network ? within(network.since) : null))),
      textArray(asked.map(({ network }) => (network ? withoutNul(network.why) : null))),
      int8Array(asked.map(({ clockOffsetUs }) => clockOffsetUs ?? null)),
    ],
  );
  return new Map(rows.map((row) => [row.probeId, row.version]));
}

/** An instant that a timestamptz holds, whatever a probe says; year 1970 to 5000. */
function within(us: number): number {
  return Math.min(Math.max(us, 0), 95_617_584_000_000_000);
}

/** PostgreSQL's text cannot hold it, and one probe's odd version must not fail the others' statement. */
function withoutNul(text: string): string {
  return text.replaceAll('\0', '');
}
