import type { Sql } from './database.ts';

/** A running hub process, or one that was. */
export interface HubReplicaRow {
  readonly id: string;
  readonly host: string;
  readonly pid: number;
  readonly version: string;
  readonly roles: readonly string[];
  readonly startedAt: Date;
  /** By the database's clock, as `seenSecondsAgo` is. */
  readonly seenSecondsAgo: number;
  /** hub/status/replica-report.ts, as far as the version that wrote it goes. */
  readonly report: unknown;
}

export interface Beat {
  readonly id: string;
  readonly host: string;
  readonly pid: number;
  readonly version: string;
  readonly roles: readonly string[];
  readonly report: { readonly listen: string };
}

/** Says that this process lives, and takes away what a process of the same place left that was killed. */
export async function beatReplica(sql: Sql, { id, host, pid, version, roles, report }: Beat): Promise<void> {
  await sql.run(
    `with left_behind as (
       delete from hub_replicas
       where host = $2::text and report->>'listen' = $7::text and id <> $1::uuid and seen_at < now() - interval '15 seconds')
     insert into hub_replicas (id, host, pid, version, roles, report)
     values ($1::uuid, $2::text, $3::int4, $4::text, $5::text[], $6::jsonb)
     on conflict (id) do update set seen_at = now(), report = excluded.report`,
    [id, host, pid, version, [...roles], JSON.stringify(report), report.listen],
  );
}

export async function forgetReplica(sql: Sql, id: string): Promise<void> {
  await sql.run('delete from hub_replicas where id = $1::uuid', [id]);
}

export function listReplicas(sql: Sql): Promise<HubReplicaRow[]> {
  return sql.many<HubReplicaRow>(
    `select id, host, pid, version, roles, started_at as "startedAt",
       date_part('epoch', now() - seen_at) as "seenSecondsAgo", report
     from hub_replicas order by started_at, id`,
  );
}
