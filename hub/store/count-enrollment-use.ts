import type { Sql } from './database.ts';

/** Of an enrollment that this transaction has locked. */
export async function countEnrollmentUse(sql: Sql, jti: string): Promise<void> {
  const counted = await sql.run('update enrollments set used = used + 1 where jti = $1::uuid', [jti]);
  if (counted !== 1) throw new Error(`enrollment ${jti} is gone though it was locked`);
}
