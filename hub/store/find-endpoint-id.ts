import type { Sql } from './database.ts';

/** The id of the endpoint that bears this name now. */
export async function findEndpointId(sql: Sql, name: string): Promise<number | null> {
  const row = await sql.maybeOne<{ id: number }>(
    'select id from endpoints where name = $1::text and deleted_at is null',
    [name],
  );
  return row?.id ?? null;
}
