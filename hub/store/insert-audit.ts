import type { Sql } from './database.ts';

/** One line of the audit log. Callers hide secrets before they come here: what is written is shown. */
export interface AuditEntry {
  /** `token:NAME`, `session:NAME`, `probe:ID`, or the hub's own part that did it. */
  readonly actor: string;
  /** `endpoint.create`, `probe.revoke`, `token.create`, … */
  readonly action: string;
  /** What it was done to, as people know it: `endpoint:shop`. */
  readonly subject: string;
  readonly before?: unknown;
  readonly after?: unknown;
  readonly remoteIp?: string | null | undefined;
}

/** Written in the transaction of the change itself, so that there is none without the other. */
export async function insertAudit(sql: Sql, entry: AuditEntry): Promise<void> {
  await insertAudits(sql, [entry]);
}

/** Many in one statement, numbered in their order. */
export async function insertAudits(sql: Sql, entries: readonly AuditEntry[]): Promise<void> {
  if (entries.length === 0) return;
  const rows = entries.map(({ actor, action, subject, before = null, after = null, remoteIp = null }) => ({
    actor,
    action,
    subject,
    before,
    after,
    remote_ip: remoteIp,
  }));
  await sql.run(
    `insert into audit_log (actor, action, subject, before, after, remote_ip)
     select row->>'actor', row->>'action', row->>'subject',
            nullif(row->'before', 'null'::jsonb), nullif(row->'after', 'null'::jsonb), row->>'remote_ip'
     from jsonb_array_elements($1::jsonb) with ordinality as given (row, place)
     order by place`,
    [JSON.stringify(rows)],
  );
}
