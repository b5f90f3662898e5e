import type { Operator, Scope } from '../api/operator.ts';
import type { Database, Sql } from '../store/database.ts';
import { type ApiTokenRow, insertApiToken } from '../store/insert-api-token.ts';
import { selectApiToken } from '../store/select-api-token.ts';
import type { HubKeys } from './keys.ts';
import { tokenMac, tokenRowHolds } from './operator-rows.ts';
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

/** Makes one. This is the only time it can be seen: the database keeps its hash, and what it is good for under an HMAC. */
export async function createApiToken(
  sql: Sql,
  { hmac }: Pick<HubKeys, 'hmac'>,
  options: ApiTokenOptions,
): Promise<{ token: string; row: ApiTokenRow }> {
  const token = `${prefix}${newSecret()}`;
  const hash = hashOf(hmac, token);
  const mac = tokenMac(hmac, { ...options, hash });
  return { token, row: await insertApiToken(sql, { ...options, hash, mac }) };
}

/** Null for a token that is none, has ended, was revoked, or was not made so by this hub. */
export type VerifyToken = (token: string) => Promise<Operator | null>;

export function createTokenVerifier(
  db: Database,
  keys: Pick<HubKeys, 'hmac'>,
  clockMs: () => number,
): VerifyToken {
  const cache = shortCache<{ operator: Operator; endsMs: number }>(believedMs, mostKnown, clockMs);
  return async (token) => {
    if (!token.startsWith(prefix) || !isSecret(token.slice(prefix.length))) return null;
    const hash = hashOf(keys.hmac, token);
    const known = await cache.get(hash.toString('base64'), async () => {
      const row = await selectApiToken(db, hash);
      if (!row || !tokenRowHolds(keys.hmac, row)) return null;
      const { name, scopes, regions, expiresAt } = row;
      const operator = { actor: `token:${name}`, scopes, regions };
      return { operator, endsMs: expiresAt?.getTime() ?? Number.POSITIVE_INFINITY };
    });
    return known && known.endsMs > clockMs() ? known.operator : null;
  };
}
