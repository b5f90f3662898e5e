import type { Scope } from '../api/operator.ts';
import type { Sql } from './database.ts';

export interface SessionRow {
  readonly actor: string;
  readonly scopes: readonly Scope[];
  readonly expiresAt: Date;
  readonly hash: Uint8Array;
  readonly mac: Uint8Array;
}

/**
 * The session with this hash, as long as it is good. Its end slides to `idleSeconds` from now, and never past
 * `mostSeconds` from its beginning; written only when that gains a tenth, so that reading stays reading.
 */
export async function touchSession(
  sql: Sql,
  hash: Uint8Array,
  idleSeconds: number,
  mostSeconds: number,
): Promise<SessionRow | null> {
  return sql.maybeOne<SessionRow>(
    `with held as (
       select hash, actor, scopes, expires_at, mac,
         least(now() + $2::int * interval '1 second', created_at + $3::int * interval '1 second') as slid
       from sessions
       where hash = $1::bytea and expires_at > now()
     ), moved as (
       update sessions s set expires_at = held.slid from held
       where s.hash = held.hash and held.slid > held.expires_at + $2::int * interval '0.1 second'
       returning s.expires_at
     )
     select actor, scopes, coalesce((select expires_at from moved), expires_at) as "expiresAt", hash, mac
     from held`,
    [Buffer.from(hash), idleSeconds, mostSeconds],
  );
}
