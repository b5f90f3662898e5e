import type { Sql } from './database.ts';
import { type AuditEntry, insertAudit } from './insert-audit.ts';

/** Written at most once a minute for one action and subject: whoever raises it must not fill the log. True where it was. */
export async function noteAlarm(sql: Sql, entry: AuditEntry): Promise<boolean> {
  const recent = await sql.many(
    `select 1 from audit_log where at > now() - interval '1 minute' and action = $1::text and subject = $2::text
     limit 1`,
    [entry.action, entry.subject],
  );
  if (recent.length > 0) return false;
  await insertAudit(sql, entry);
  return true;
}
