import type { Sql } from './database.ts';
import type { ProbeRow } from './probe-row.ts';

/** Of a probe that this transaction has locked; with the HMAC over what it now is. */
export async function updateProbeStatus(sql: Sql, probe: ProbeRow): Promise<void> {
  const updated = await sql.run(
    `update probes set status = $2::text, mac = $3::bytea,
       revoked_at = case when $2::text = 'revoked' then coalesce(revoked_at, now()) end
     where id = $1::int8`,
    [probe.id, probe.status, probe.mac],
  );
  if (updated !== 1) throw new Error(`probe ${probe.id} is gone though it was locked`);
}
