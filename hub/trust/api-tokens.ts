import type { Operator, Scope } from '../api/operator.ts';
import type { Database, Sql } from '../store/database.ts';
import { type ApiTokenRow, insertApiToken } from '../store/insert-api-token.ts';
import { selectApiToken } from '../store/select-api-token.ts';
import { hashOf, isSecret, newSecret } from './secret-text.ts';
import { shortCache } from './short-cache.ts';

/** So that secret scanners, and people, know one when they see it. */
const prefix = 'plx_';
/** A revoked token works so long on a replica that has just seen it. */
const believedMs = 2000;
const mostKnown = 10_000;

export interface ApiTokenOptions {
  /** For people and the audit log: `token:NAME`. */
  readonly name: string;
  readonly scopes: readonly Scope[];
  /** Names of the only regions it may see and touch; null for all. */
  readonly regions: readonly string[] | null;
  /** Null for never. */
  readonly expiresAt: Date | null;
  readonly createdBy: string;
}

/** Makes one. This is the only time it can be seen: the database keeps its hash. */
export async function createApiToken(
  sql: Sql,
  options: ApiTokenOptions,
): Promise<{ token: string; row: ApiTokenRow }> {
  const token = `${prefix}${newSecret()}`;
  return { token, row: await insertApiToken(sql, { ...options, hash: hashOf(token) }) };
}

/** Null for a token that is none, has ended or was revoked. */
export type VerifyToken = (token: string) => Promise<Operator | null>;

export function createTokenVerifier(db: Database, clockMs: () => number): VerifyToken {
  const cache = shortCache<{ operator: Operator; endsMs: number }>(believedMs, mostKnown, clockMs);
  return async (token) => {
    if (!token.startsWith(prefix) || !isSecret(token.slice(prefix.length))) return null;
    const hash = hashOf(token);
    const known = await cache.get(hash.toString('base64'), async () => {
      const row = await selectApiToken(db, hash);
      if (!row) return null;
      const { name, scopes, regions, expiresAt } = row;
      const operator = { actor: `token:${name}`, scopes, regions };
      return { operator, endsMs: expiresAt?.getTime() ?? Number.POSITIVE_INFINITY };
    });
    return known && known.endsMs > clockMs() ? known.operator : null;
  };
}
