import type { Sql } from './database.ts';

export interface RejectFilter {
  readonly since: Date;
  /** Id or name of one probe; null for all, as with the two after it. */
  readonly probe: string | null;
  readonly reason: string | null;
  /** Of probes of these regions only; what no probe is known to have sent belongs to none. */
  readonly regions: readonly string[] | null;
}

export interface RejectCount {
  readonly hour: Date;
  readonly reason: string;
  /** Null where nobody is proven to have sent it. */
  readonly probeId: number | null;
  readonly probe: string | null;
  readonly region: string | null;
  readonly count: number;
}

const kept = (
  of: string,
) => `left join probes p on p.id = ${of}.probe_id left join regions r on r.id = p.region_id
     where ($2::text is null or p.name = $2::text or ${of}.probe_id::text = $2::text)
       and ($3::text is null or ${of}.reason = $3::text)
       and ($4::text[] is null or r.name = any($4::text[]))`;

const valuesOf = ({ since, probe, reason, regions }: RejectFilter) => [since, probe, reason, regions];

/** By id or name, of these regions. */
export async function isProbeThere(
  sql: Sql,
  probe: string,
  regions: readonly string[] | null,
): Promise<boolean> {
  const rows = await sql.many(
    `select 1 from probes p join regions r on r.id = p.region_id
     where (p.name = $1::text or p.id::text = $1::text) and ($2::text[] is null or r.name = any($2::text[])) limit 1`,
    [probe, regions],
  );
  return rows.length > 0;
}

/** By hour, newest first, then by how many. `since` counts with its whole hour. */
export function listRejectCounts(sql: Sql, filter: RejectFilter, limit: number): Promise<RejectCount[]> {
  return sql.many<RejectCount>(
    `select c.hour, c.reason, nullif(c.probe_id, 0) as "probeId", p.name as probe, r.name as region, c.count
     from reject_counts c ${kept('c')} and c.hour >= date_trunc('hour', $1::timestamptz)
     order by c.hour desc, c.count desc, c.reason, c.probe_id limit $5::int4`,
    [...valuesOf(filter), limit],
  );
}

/** One that was kept whole. */
export interface RejectSample {
  readonly id: number;
  readonly at: Date;
  readonly reason: string;
  readonly detail: string;
  readonly kid: string | null;
  readonly probeId: number | null;
  readonly probe: string | null;
  readonly region: string | null;
  readonly stream: string | null;
  readonly seq: number | null;
  readonly topic: string | null;
  readonly partition: number | null;
  readonly offset: number | null;
  /** Of what was kept of it. */
  readonly contentBytes: number;
}

/** Newest first, those before `before`. */
export function listRejects(
  sql: Sql,
  filter: RejectFilter,
  before: number | null,
  limit: number,
): Promise<RejectSample[]> {
  return sql.many<RejectSample>(
    `select j.id, j.at, j.reason, j.detail, j.kid, j.probe_id as "probeId", p.name as probe, r.name as region,
       j.stream, j.seq, j.topic, j.kafka_partition as partition, j.kafka_offset as offset,
       coalesce(octet_length(j.content), 0) as "contentBytes"
     from rejects j ${kept('j')} and j.at >= $1::timestamptz and ($5::int8 is null or j.id < $5::int8)
     order by j.id desc limit $6::int4`,
    [...valuesOf(filter), before, limit],
  );
}

export interface RejectContent {
  readonly region: string | null;
  readonly content: Uint8Array | null;
}

export function findRejectContent(sql: Sql, id: number): Promise<RejectContent | null> {
  return sql.maybeOne<RejectContent>(
    `select r.name as region, j.content from rejects j
     left join probes p on p.id = j.probe_id left join regions r on r.id = p.region_id where j.id = $1::int8`,
    [id],
  );
}
