import type { Sql } from './database.ts';

export interface AuditRow {
  readonly id: number;
  readonly at: Date;
  readonly actor: string;
  readonly action: string;
  readonly subject: string;
  readonly before: unknown;
  readonly after: unknown;
  readonly remoteIp: string | null;
}

/** Newest first, from below `beforeId` on where one is given. */
export async function listAudit(sql: Sql, beforeId: number | null, limit: number): Promise<AuditRow[]> {
  return sql.many<AuditRow>(
    `select id, at, actor, action, subject, before, after, remote_ip as "remoteIp" from audit_log
     where $1::int8 is null or id < $1::int8
     order by id desc limit $2::int`,
    [beforeId, limit],
  );
}
