import type { Sql } from './database.ts';

/** One that was revoked before keeps its instant. */
export async function revokeEnrollment(sql: Sql, jti: string): Promise<void> {
  await sql.run('update enrollments set revoked_at = coalesce(revoked_at, now()) where jti = $1::uuid', [
    jti,
  ]);
}
