import type { Sql } from './database.ts';
import { type ProbeRow, probeColumns } from './probe-row.ts';

/** All, also the revoked: each must hear that it is. */
export async function listProbes(sql: Sql): Promise<ProbeRow[]> {
  return sql.many<ProbeRow>(
    `select ${probeColumns} from probes p join regions r on r.id = p.region_id order by p.id`,
  );
}
