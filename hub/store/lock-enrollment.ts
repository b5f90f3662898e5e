import type { Sql } from './database.ts';
import { type EnrollmentRow, enrollmentColumns } from './enrollment-row.ts';

/** Until the transaction ends nobody else counts a use of it. Null for one that was never minted here. */
export async function lockEnrollment(sql: Sql, jti: string): Promise<EnrollmentRow | null> {
  return sql.maybeOne<EnrollmentRow>(
    `select ${enrollmentColumns} from enrollments e join regions r on r.id = e.region_id
     where e.jti = $1::uuid for update of e`,
    [jti],
  );
}
