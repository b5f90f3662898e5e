import type { Sql } from './database.ts';

export interface RejectTotal {
  readonly reason: string;
  readonly count: number;
  /** The probe most of them are of; null where nobody knows. */
  readonly probe: string | null;
  readonly probeCount: number;
}

/** What was refused in this hour and the last, by reason, most first. */
export function listRejectTotals(sql: Sql): Promise<RejectTotal[]> {
  return sql.many<RejectTotal>(
    `select c.reason, sum(c.count)::int8 as count, max(c.count) as "probeCount",
       (array_agg(p.name order by c.count desc))[1] as probe
     from reject_counts c left join probes p on p.id = c.probe_id
     where c.hour >= date_trunc('hour', now()) - interval '1 hour'
     group by c.reason order by 2 desc, 1`,
  );
}

export interface Alarm {
  readonly action: string;
  readonly subject: string;
  readonly count: number;
  readonly at: Date;
}

/** What the hub raised an alarm for in the last day, newest first. */
export function listAlarms(sql: Sql, limit = 5): Promise<Alarm[]> {
  return sql.many<Alarm>(
    `select action, max(subject) as subject, count(*)::int4 as count, max(at) as at from audit_log
     where at > now() - interval '1 day' and action like 'alarm.%'
     group by action order by max(at) desc limit $1::int4`,
    [limit],
  );
}

export interface LastBatch {
  readonly probeId: number;
  readonly secondsAgo: number;
}

/** When the newest batch of each probe was taken in. */
export function listLastBatches(sql: Sql): Promise<LastBatch[]> {
  return sql.many<LastBatch>(
    `select probe_id as "probeId", date_part('epoch', now() - max(last_at)) as "secondsAgo"
     from streams group by probe_id`,
  );
}

export interface Arrivals {
  /** When the newest batch was taken in, seconds ago; null where none ever was. */
  readonly lastSecondsAgo: number | null;
  readonly endpoints: number;
}

export function readArrivals(sql: Sql): Promise<Arrivals> {
  return sql.one<Arrivals>(
    `select (select date_part('epoch', now() - max(last_at)) from streams) as "lastSecondsAgo",
       (select count(*) from endpoints where deleted_at is null)::int4 as endpoints`,
  );
}
