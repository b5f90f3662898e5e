import type { Sql } from './database.ts';
import { type ProbeRow, probeColumns } from './probe-row.ts';

export async function findProbeByThumbprint(sql: Sql, thumbprint: string): Promise<ProbeRow | null> {
  return sql.maybeOne<ProbeRow>(
    `select ${probeColumns} from probes p join regions r on r.id = p.region_id where p.thumbprint = $1::text`,
    [thumbprint],
  );
}

/** Until the transaction ends nobody else changes it. */
export async function lockProbe(sql: Sql, id: number): Promise<ProbeRow | null> {
  return sql.maybeOne<ProbeRow>(
    `select ${probeColumns} from probes p join regions r on r.id = p.region_id
     where p.id = $1::int8 for update of p`,
    [id],
  );
}
