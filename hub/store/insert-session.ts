import type { Scope } from '../api/operator.ts';
import type { Sql } from './database.ts';

export interface NewSession {
  /** SHA-256 of the cookie's value. */
  readonly hash: Uint8Array;
  readonly actor: string;
  readonly scopes: readonly Scope[];
  readonly ttlSeconds: number;
}

/** Forgets those that ended on its way. */
export async function insertSession(sql: Sql, session: NewSession): Promise<void> {
  await sql.run('delete from sessions where expires_at < now()');
  await sql.run(
    `insert into sessions (hash, actor, scopes, expires_at)
     values ($1::bytea, $2::text, $3::text[], now() + $4::int * interval '1 second')`,
    [Buffer.from(session.hash), session.actor, session.scopes, session.ttlSeconds],
  );
}
