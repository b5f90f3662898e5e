import { textArray } from './binary-array.ts';
import type { Sql } from './database.ts';
import { type EndpointRow, endpointColumns } from './endpoint-row.ts';

/** Those that are not deleted. */
export function findEndpointsByName(sql: Sql, names: readonly string[]): Promise<EndpointRow[]> {
  return sql.many<EndpointRow>(
    `select ${endpointColumns} from endpoints where deleted_at is null and name = any($1::text[])`,
    [textArray(names)],
  );
}

/** Of what this source made and has not deleted, what the names do not name, in the order of names. */
export function findEndpointsBesides(
  sql: Sql,
  source: string,
  names: readonly string[],
): Promise<EndpointRow[]> {
  return sql.many<EndpointRow>(
    `select ${endpointColumns} from endpoints
     where deleted_at is null and source = $1::text
       -- not <> all(): PostgreSQL 14 would compare each with each
       and not exists (select from unnest($2::text[]) as kept (name) where kept.name = endpoints.name)
     order by name`,
    [source, textArray(names)],
  );
}

/** Null where there is none or it is deleted. */
export function findEndpoint(sql: Sql, id: number): Promise<EndpointRow | null> {
  return sql.maybeOne<EndpointRow>(
    `select ${endpointColumns} from endpoints where deleted_at is null and id = $1::int8`,
    [id],
  );
}
