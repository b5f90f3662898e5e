import type { Sql } from './database.ts';

export interface OpenHole {
  readonly stream: string;
  readonly probe_id: number;
  readonly probe: string;
  /** First and last number of the lowest hole. */
  readonly from_seq: number;
  readonly to_seq: number;
}

/** Streams of which something came after a batch that has not; those of revoked probes are nobody's any more. */
export function listOpenHoles(
  sql: Sql,
  limit = 10_000,
  /** Id or name of one probe, and names of regions; null for all. */
  { probe, regions }: { probe: string | null; regions: readonly string[] | null } = everybodys,
): Promise<readonly OpenHole[]> {
  return sql.many<OpenHole>(
    `select s.stream, s.probe_id, p.name as probe, s.up_to + 1 as from_seq, lower(s.ranges) - 1 as to_seq
     from streams s join probes p on p.id = s.probe_id
     where s.ranges <> '{}' and p.status <> 'revoked'
       and ($2::text is null or p.name = $2::text or p.id::text = $2::text)
       and ($3::text[] is null or p.region_id in (select id from regions where name = any($3::text[])))
     order by s.stream limit $1::int`,
    [limit, probe, regions],
  );
}

const everybodys = { probe: null, regions: null };
