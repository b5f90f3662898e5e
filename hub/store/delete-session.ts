import type { Sql } from './database.ts';

export async function deleteSession(sql: Sql, hash: Uint8Array): Promise<boolean> {
  return (await sql.run('delete from sessions where hash = $1::bytea', [Buffer.from(hash)])) === 1;
}
