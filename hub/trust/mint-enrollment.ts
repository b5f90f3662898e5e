import { randomUUID } from 'node:crypto';
import { signHubToken } from '../../shared/hub-token.ts';
import { tellChange } from '../store/changes.ts';
import type { Database } from '../store/database.ts';
import type { EnrollmentRow } from '../store/enrollment-row.ts';
import { ensureRegion } from '../store/ensure-region.ts';
import { insertAudit } from '../store/insert-audit.ts';
import { insertEnrollment } from '../store/insert-enrollment.ts';
import type { HubKeys } from './keys.ts';

/** A token in somebody's pocket is a door: it stays open a day at most. */
export const maxEnrollmentTtlMs = 86_400_000;

export interface MintOptions {
  readonly db: Database;
  readonly keys: HubKeys;
  readonly publicUrl: string;
  /** Epoch microseconds. */
  readonly now: () => number;
}

export interface MintRequest {
  readonly region: string;
  readonly uses: number;
  readonly ttlMs: number;
  readonly approve: boolean;
}

export interface Minted extends EnrollmentRow {
  /** Shown once: it is kept nowhere. */
  readonly token: string;
}

/** A token that lets probes into a region, which is made if it is new. */
export async function mintEnrollment(
  { db, keys, publicUrl, now }: MintOptions,
  { region, uses, ttlMs, approve }: MintRequest,
  by: { readonly actor: string; readonly remoteIp: string | null },
): Promise<Minted> {
  const iat = Math.floor(now() / 1_000_000);
  const exp = iat + Math.ceil(Math.min(ttlMs, maxEnrollmentTtlMs) / 1000);
  const jti = randomUUID();
  const root = keys.rootThumbprint;
  const token = await signHubToken(
    'enroll+jwt',
    { iss: publicUrl, jti, region, uses, approve, root, iat, exp },
    keys.lease,
  );
  const expiresAt = exp * 1000;
  await db.transaction(async (sql) => {
    const { id: regionId, made } = await ensureRegion(sql, region);
    await insertEnrollment(sql, { jti, regionId, uses, approve, createdBy: by.actor, expiresAt });
    await insertAudit(sql, {
      ...by,
      action: 'enrollment.create',
      subject: `enrollment:${jti}`,
      after: { region, uses, approve, expiresAt: new Date(expiresAt).toISOString(), newRegion: made },
    });
    if (made) await tellChange(sql, 'probes');
  });
  const createdAt = iat * 1000;
  return {
    jti,
    region,
    uses,
    used: 0,
    approve,
    createdBy: by.actor,
    createdAt,
    expiresAt,
    revokedAt: null,
    token,
  };
}
