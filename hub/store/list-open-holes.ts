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
export function listOpenHoles(sql: Sql, limit = 10_000): Promise<readonly OpenHole[]> {
  return sql.many<OpenHole>(
    `select s.stream, s.probe_id, p.name as probe, s.up_to + 1 as from_seq, lower(s.ranges) - 1 as to_seq
     from streams s join probes p on p.id = s.probe_id
     where s.ranges <> '{}' and p.status <> 'revoked' order by s.stream limit $1::int`,
    [limit],
  );
}
