import type { Sql } from './database.ts';
import type { EnrollmentRow } from './enrollment-row.ts';

export type NewEnrollment = Pick<EnrollmentRow, 'jti' | 'uses' | 'approve' | 'createdBy' | 'expiresAt'> & {
  readonly regionId: number;
};

export async function insertEnrollment(sql: Sql, enrollment: NewEnrollment): Promise<void> {
  const { jti, regionId, uses, approve, createdBy, expiresAt } = enrollment;
  await sql.run(
    `insert into enrollments (jti, region_id, uses, approve, created_by, expires_at)
     values ($1::uuid, $2::int2, $3::int4, $4::bool, $5::text, to_timestamp($6::float8 / 1000))`,
    [jti, regionId, uses, approve, createdBy, expiresAt],
  );
}
