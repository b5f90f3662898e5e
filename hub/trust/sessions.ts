import type { Operator, Scope } from '../api/operator.ts';
import type { Database, Sql } from '../store/database.ts';
import { deleteSession } from '../store/delete-session.ts';
import { insertSession } from '../store/insert-session.ts';
import { touchSession } from '../store/touch-session.ts';
import type { HubKeys } from './keys.ts';
import { sessionMac, sessionRowHolds } from './operator-rows.ts';
import { hashOf, isSecret, newSecret } from './secret-text.ts';
import { shortCache } from './short-cache.ts';

/** Unused for a week it ends, and after thirty days in any case. */
export const sessionIdleSeconds = 7 * 86_400;
export const sessionMostSeconds = 30 * 86_400;
const believedMs = 2000;
const mostKnown = 10_000;

/** Always a new secret: what a browser brought along is never made a session. Returns what its cookie holds. */
export async function createSession(
  sql: Sql,
  { hmac }: Pick<HubKeys, 'hmac'>,
  session: { readonly actor: string; readonly scopes: readonly Scope[] },
): Promise<string> {
  const secret = newSecret();
  const hash = hashOf(hmac, secret);
  const mac = sessionMac(hmac, { ...session, hash });
  await insertSession(sql, { ...session, hash, mac, ttlSeconds: sessionIdleSeconds });
  return secret;
}

export interface Sessions {
  /** Null for a session that is none, has ended or was not made by this hub. */
  verify(secret: string): Promise<Operator | null>;
  /** Ends it: here at once, on other replicas within seconds. */
  end(secret: string): Promise<void>;
}

export function createSessions(db: Database, keys: Pick<HubKeys, 'hmac'>, clockMs: () => number): Sessions {
  const cache = shortCache<{ operator: Operator; endsMs: number }>(believedMs, mostKnown, clockMs);
  return {
    async verify(secret) {
      if (!isSecret(secret)) return null;
      const hash = hashOf(keys.hmac, secret);
      const known = await cache.get(hash.toString('base64'), async () => {
        const row = await touchSession(db, hash, sessionIdleSeconds, sessionMostSeconds);
        if (!row || !sessionRowHolds(keys.hmac, row)) return null;
        const operator = { actor: row.actor, scopes: row.scopes, regions: null };
        return { operator, endsMs: row.expiresAt.getTime() };
      });
      return known && known.endsMs > clockMs() ? known.operator : null;
    },
    async end(secret) {
      if (!isSecret(secret)) return;
      const hash = hashOf(keys.hmac, secret);
      await deleteSession(db, hash);
      cache.forget(hash.toString('base64'));
    },
  };
}
