import type { Sql } from './database.ts';
import { type ApiTokenRow, apiTokenColumns } from './insert-api-token.ts';

/** The token with this hash, as long as it is good. */
export async function selectApiToken(sql: Sql, hash: Uint8Array): Promise<ApiTokenRow | null> {
  return sql.maybeOne<ApiTokenRow>(
    `select ${apiTokenColumns} from api_tokens
     where hash = $1::bytea and revoked_at is null and (expires_at is null or expires_at > now())`,
    [Buffer.from(hash)],
  );
}
