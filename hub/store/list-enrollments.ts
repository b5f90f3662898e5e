import type { Sql } from './database.ts';
import { type EnrollmentRow, enrollmentColumns } from './enrollment-row.ts';

export interface EnrollmentPage {
  /** Null for all. */
  readonly regions: readonly string[] | null;
  /** Those minted before this one; null for the newest. */
  readonly before: string | null;
  readonly limit: number;
}

/** Newest first. */
export async function listEnrollments(sql: Sql, page: EnrollmentPage): Promise<EnrollmentRow[]> {
  return sql.many<EnrollmentRow>(
    `select ${enrollmentColumns} from enrollments e join regions r on r.id = e.region_id
     where ($1::text[] is null or r.name = any($1::text[]))
       and ($2::uuid is null or (e.created_at, e.jti) < (select b.created_at, b.jti from enrollments b where b.jti = $2::uuid))
     order by e.created_at desc, e.jti desc limit $3::int4`,
    [page.regions, page.before, page.limit],
  );
}
