import type { Sql } from './database.ts';
import type { ProbeRow } from './probe-row.ts';

/** The HMAC covers the id, so that comes first. */
export async function nextProbeId(sql: Sql): Promise<number> {
  const { id } = await sql.one<{ id: number }>(
    `select nextval(pg_get_serial_sequence('probes', 'id')) as id`,
  );
  return id;
}

export async function insertProbe(sql: Sql, probe: ProbeRow): Promise<void> {
  await sql.run(
    `insert into probes (id, region_id, name, public_key, thumbprint, status, enrollment, mac)
     overriding system value
     values ($1::int8, $2::int2, $3::text, $4::text, $5::text, $6::text, $7::uuid, $8::bytea)`,
    [
      probe.id,
      probe.regionId,
      probe.name,
      probe.publicKey,
      probe.thumbprint,
      probe.status,
      probe.enrollment,
      probe.mac,
    ],
  );
}
