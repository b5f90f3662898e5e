import type { Sql } from './database.ts';

/** Forgets those that ended a day ago on its way. */
export async function insertSignInLink(sql: Sql, hash: Uint8Array, ttlSeconds: number): Promise<void> {
  await sql.run("delete from sign_in_links where expires_at < now() - interval '1 day'");
  await sql.run(
    `insert into sign_in_links (hash, expires_at) values ($1::bytea, now() + $2::int * interval '1 second')`,
    [Buffer.from(hash), ttlSeconds],
  );
}
