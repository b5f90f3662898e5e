import type { Scope } from '../api/operator.ts';
import type { Sql } from './database.ts';

export interface ApiTokenRow {
  readonly id: number;
  readonly name: string;
  readonly scopes: readonly Scope[];
  /** Names; null for all. */
  readonly regions: readonly string[] | null;
  readonly createdBy: string;
  readonly createdAt: Date;
  readonly expiresAt: Date | null;
  readonly revokedAt: Date | null;
  /** HMAC of the token, by which it is found. */
  readonly hash: Uint8Array;
  /** HMAC over what it is good for (hub/trust/operator-rows.ts). */
  readonly mac: Uint8Array;
}

export type NewApiToken = Pick<
  ApiTokenRow,
  'name' | 'scopes' | 'regions' | 'createdBy' | 'expiresAt' | 'hash' | 'mac'
>;

/** The columns of an ApiTokenRow. */
export const apiTokenColumns = `id, name, scopes, regions, created_by as "createdBy", created_at as "createdAt",
  expires_at as "expiresAt", revoked_at as "revokedAt", hash, mac`;

export async function insertApiToken(sql: Sql, token: NewApiToken): Promise<ApiTokenRow> {
  return sql.one<ApiTokenRow>(
    `insert into api_tokens (name, hash, scopes, regions, created_by, expires_at, mac)
     values ($1::text, $2::bytea, $3::text[], $4::text[], $5::text, $6::timestamptz, $7::bytea)
     returning ${apiTokenColumns}`,
    [
      token.name,
      Buffer.from(token.hash),
      token.scopes,
      token.regions,
      token.createdBy,
      token.expiresAt,
      Buffer.from(token.mac),
    ],
  );
}
