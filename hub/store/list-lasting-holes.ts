import type { Sql } from './database.ts';
import type { OpenHole } from './list-open-holes.ts';

/** Of the open holes those for which the alarm was raised: their probes did not fill them in time. */
export function listLastingHoles(sql: Sql, limit = 10_000): Promise<readonly OpenHole[]> {
  return sql.many<OpenHole>(
    `select distinct on (s.stream) s.stream, s.probe_id, p.name as probe, s.up_to + 1 as from_seq,
       lower(s.ranges) - 1 as to_seq
     from streams s join probes p on p.id = s.probe_id
       join audit_log a on a.action = 'alarm.stream_hole' and a.subject = 'stream:' || s.stream
         and (a.after->>'fromSeq')::int8 = s.up_to + 1
     where s.ranges <> '{}' and p.status <> 'revoked'
     order by s.stream limit $1::int`,
    [limit],
  );
}
