import type { Sql } from './database.ts';
import { type ApiTokenRow, apiTokenColumns } from './insert-api-token.ts';

/** Newest first, those that are no longer good too: the audit log names them. */
export async function listApiTokens(sql: Sql, limit = 1000): Promise<ApiTokenRow[]> {
  return sql.many<ApiTokenRow>(`select ${apiTokenColumns} from api_tokens order by id desc limit $1::int`, [
    limit,
  ]);
}
