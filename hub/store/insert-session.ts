import type { Scope } from '../api/operator.ts';
import type { Sql } from './database.ts';

export interface NewSession {
  /** HMAC of the cookie's value, by which it is found. */
  readonly hash: Uint8Array;
  /** HMAC over what it is good for (hub/trust/operator-rows.ts). */
  readonly mac: Uint8Array;
  readonly actor: string;
  readonly scopes: readonly Scope[];
  readonly ttlSeconds: number;
}

/** Forgets those that ended on its way. */
export async function insertSession(sql: Sql, session: NewSession): Promise<void> {
  await sql.run('delete from sessions where expires_at < now()');
  await sql.run(
    `insert into sessions (hash, actor, scopes, expires_at, mac)
     values ($1::bytea, $2::text, $3::text[], now() + $4::int * interval '1 second', $5::bytea)`,
    [Buffer.from(session.hash), session.actor, session.scopes, session.ttlSeconds, Buffer.from(session.mac)],
  );
}
