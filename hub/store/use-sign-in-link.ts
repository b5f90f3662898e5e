import type { Sql } from './database.ts';

/** True for the one caller who may use it: of two at once the second waits for the first and finds it used. */
export async function useSignInLink(sql: Sql, hash: Uint8Array): Promise<boolean> {
  const used = await sql.run(
    `update sign_in_links set used_at = now()
     where hash = $1::bytea and used_at is null and expires_at > now()`,
    [Buffer.from(hash)],
  );
  return used === 1;
}
