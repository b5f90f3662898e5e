import type { EndpointDocument } from '../../shared/endpoint.ts';
import type { Sql } from './database.ts';
import { type EndpointRow, endpointColumns } from './endpoint-row.ts';

/** Endpoints that hold sealed values, deleted ones too, by id from the one after `afterId` on. */
export function readSealedEndpoints(sql: Sql, afterId: number, limit: number): Promise<EndpointRow[]> {
  return sql.many<EndpointRow>(
    `select ${endpointColumns} from endpoints where sealed <> '{}' and id > $1::int8 order by id limit $2::int4`,
    [afterId, limit],
  );
}

/** Nothing else of the row changes: no probe and no operator is told of it. */
export async function updateSealed(sql: Sql, { id, sealed, mac }: EndpointRow): Promise<void> {
  await sql.run('update endpoints set sealed = $2::jsonb, mac = $3::bytea where id = $1::int8', [
    id,
    JSON.stringify(sealed),
    mac,
  ]);
}

export interface SealedRev {
  readonly id: number;
  readonly rev: number;
  readonly spec: EndpointDocument;
  readonly sealed: Readonly<Record<string, string>>;
}

/** The same of what endpoints were. */
export function readSealedRevs(
  sql: Sql,
  after: { readonly id: number; readonly rev: number },
  limit: number,
): Promise<SealedRev[]> {
  return sql.many<SealedRev>(
    `select endpoint_id as id, rev, spec, sealed from endpoint_revs
     where sealed <> '{}' and (endpoint_id, rev) > ($1::int8, $2::int4)
     order by endpoint_id, rev limit $3::int4`,
    [after.id, after.rev, limit],
  );
}

export async function updateSealedRev(sql: Sql, { id, rev, sealed }: SealedRev): Promise<void> {
  await sql.run(
    'update endpoint_revs set sealed = $3::jsonb where endpoint_id = $1::int8 and rev = $2::int4',
    [id, rev, JSON.stringify(sealed)],
  );
}
