import type { Sql } from './database.ts';
import { type ApiTokenRow, apiTokenColumns } from './insert-api-token.ts';

/** Null where there is none with this id; one that was revoked before stays as it was. */
export async function revokeApiToken(sql: Sql, id: number): Promise<ApiTokenRow | null> {
  return sql.maybeOne<ApiTokenRow>(
    `update api_tokens set revoked_at = coalesce(revoked_at, now()) where id = $1::int8
     returning ${apiTokenColumns}`,
    [id],
  );
}
