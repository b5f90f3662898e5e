/** An enrollment token as it is kept: everything but the token. Instants are epoch milliseconds. */
export interface EnrollmentRow {
  readonly jti: string;
  readonly region: string;
  readonly uses: number;
  readonly used: number;
  readonly approve: boolean;
  readonly createdBy: string;
  readonly createdAt: number;
  readonly expiresAt: number;
  readonly revokedAt: number | null;
}

/** With `e` for enrollments and `r` for their regions. */
export const enrollmentColumns = `e.jti, r.name as region, e.uses, e.used, e.approve, e.created_by as "createdBy",
  floor(date_part('epoch', e.created_at) * 1000)::int8 as "createdAt",
  floor(date_part('epoch', e.expires_at) * 1000)::int8 as "expiresAt",
  floor(date_part('epoch', e.revoked_at) * 1000)::int8 as "revokedAt"`;
