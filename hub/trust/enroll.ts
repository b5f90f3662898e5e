import type { Logger } from 'pino';
import type { EnrollAnswer, EnrollmentClaims, EnrollRequest } from '../../shared/enrollment.ts';
import { verifyHubToken } from '../../shared/hub-token.ts';
import { TokenError } from '../../shared/jws.ts';
import { ed25519Thumbprint } from '../../shared/signing.ts';
import { Problem } from '../problem.ts';
import { tellChange } from '../store/changes.ts';
import { countEnrollmentUse } from '../store/count-enrollment-use.ts';
import type { Database, Sql } from '../store/database.ts';
import { ensureRegion } from '../store/ensure-region.ts';
import { findProbeByThumbprint } from '../store/find-probe.ts';
import { insertAudit } from '../store/insert-audit.ts';
import { insertProbe, nextProbeId } from '../store/insert-probe.ts';
import { lockEnrollment } from '../store/lock-enrollment.ts';
import { noteAlarm } from '../store/note-alarm.ts';
import type { ProbeRow } from '../store/probe-row.ts';
import type { HubKeys } from './keys.ts';
import { probeRowHolds, signProbeRow } from './probe-rows.ts';
import type { Registry } from './registry.ts';
import { createTrustMetrics, type TrustMetrics } from './trust-metrics.ts';

export interface EnrollerOptions {
  readonly db: Database;
  readonly keys: HubKeys;
  readonly registry: Pick<Registry, 'refresh'>;
  readonly publicUrl: string;
  /** Epoch microseconds. */
  readonly now: () => number;
  readonly log: Pick<Logger, 'info' | 'warn' | 'error'>;
  readonly metrics?: TrustMetrics;
}

export interface Enroller {
  /**
   * Lets a probe in whose possession of its key is proven. The same key again is the same enrollment, whatever became
   * of the token meanwhile. Throws Problem 401 `enrollment.invalid`, 403 `.unknown`, `.revoked`, `.expired`,
   * 409 `.spent`, `.other_region`, 403 `probe.revoked`, `probe.untrusted`.
   */
  enroll(request: EnrollRequest, remoteIp: string | null): Promise<EnrollAnswer>;
}

/** What the transaction came to; a refusal that was recorded must commit too. */
type Outcome = { readonly probe: ProbeRow; readonly made: boolean } | { readonly problem: Problem };

export function createEnroller(options: EnrollerOptions): Enroller {
  const { db, keys, registry, publicUrl, now, log, metrics = createTrustMetrics() } = options;

  async function decide(sql: Sql, claims: EnrollmentClaims, request: EnrollRequest, remoteIp: string | null) {
    // The lock comes before the look, so that of two requests at once the second sees what the first did.
    const minted = await lockEnrollment(sql, claims.jti);
    const known = await findProbeByThumbprint(sql, ed25519Thumbprint(request.key.x));
    if (known) return answerKnown(known, claims);
    if (!minted) return refusal(403, 'enrollment.unknown', 'this enrollment token is not known here');
    if (minted.revokedAt !== null) {
      return refusal(403, 'enrollment.revoked', 'this enrollment token was revoked');
    }
    // What was signed decides, not what stands in the row: whoever can write there cannot make a token worth more.
    if (minted.used >= Math.min(claims.uses, minted.uses)) return recordSpent(sql, claims, request, remoteIp);
    if (now() >= Math.min(claims.exp * 1000, minted.expiresAt) * 1000) {
      return refusal(403, 'enrollment.expired', 'this enrollment token has expired');
    }
    await countEnrollmentUse(sql, claims.jti);
    const probe = await insertNew(sql, claims, request);
    await insertAudit(sql, {
      actor: `probe:${probe.id}`,
      action: 'probe.enroll',
      subject: `probe:${probe.id}`,
      after: {
        name: probe.name,
        region: probe.region,
        status: probe.status,
        thumbprint: probe.thumbprint,
        enrollment: claims.jti,
      },
      remoteIp,
    });
    await tellChange(sql, 'probes');
    return { probe, made: true };
  }

  function answerKnown(probe: ProbeRow, claims: EnrollmentClaims): Outcome {
    if (!probeRowHolds(keys.hmac, probe)) {
      log.error({ probe: probe.id }, 'the row of a probe was changed by somebody else than the hub');
      return refusal(403, 'probe.untrusted', 'what the hub knows of this probe was tampered with');
    }
    if (probe.status === 'revoked') return refusal(403, 'probe.revoked', 'this probe was revoked');
    if (probe.region !== claims.region) {
      const detail = `this key is enrolled in ${probe.region} and the token is for ${claims.region}: use an empty data folder`;
      return refusal(409, 'enrollment.other_region', detail);
    }
    return { probe, made: false };
  }

  async function insertNew(sql: Sql, claims: EnrollmentClaims, { key, name }: EnrollRequest) {
    const region = await ensureRegion(sql, claims.region);
    const probe = signProbeRow(keys.hmac, {
      id: await nextProbeId(sql),
      name,
      regionId: region.id,
      region: region.name,
      publicKey: key.x,
      thumbprint: ed25519Thumbprint(key.x),
      status: claims.approve ? 'pending' : 'active',
      enrollment: claims.jti,
    });
    await insertProbe(sql, probe);
    return probe;
  }

  async function recordSpent(
    sql: Sql,
    claims: EnrollmentClaims,
    { key, name }: EnrollRequest,
    remoteIp: string | null,
  ): Promise<Outcome> {
    const thumbprint = ed25519Thumbprint(key.x);
    const alarm = {
      actor: 'hub:enrollment',
      action: 'alarm.enrollment_spent',
      subject: `enrollment:${claims.jti}`,
      after: { region: claims.region, name, thumbprint },
      remoteIp,
    };
    if (await noteAlarm(sql, alarm)) {
      log.warn(
        { enrollment: claims.jti, region: claims.region, name, thumbprint, remoteIp },
        'a spent enrollment token came with another key: it may be stolen',
      );
    }
    return refusal(
      409,
      'enrollment.spent',
      'this enrollment token is spent: another probe came with it before',
    );
  }

  async function run(request: EnrollRequest, remoteIp: string | null): Promise<EnrollAnswer> {
    const claims = await openToken(request.token, keys, publicUrl);
    const work = () => db.transaction((sql) => decide(sql, claims, request, remoteIp));
    const outcome: Outcome = await work().catch((error: unknown) => {
      // The same key with two tokens at once: whoever lost finds it enrolled.
      if (error instanceof Error && 'code' in error && error.code === '23505') return work();
      throw error;
    });
    if ('problem' in outcome) throw outcome.problem;
    const { probe, made } = outcome;
    metrics.enrolled(made ? 'enrolled' : 'repeated');
    if (made) {
      log.info({ probe: probe.id, region: probe.region, status: probe.status }, 'a probe enrolled');
      // Its next request comes at once, and most often here.
      await registry.refresh(probe.thumbprint).catch(() => undefined);
    }
    return {
      probeId: probe.id,
      region: { id: probe.regionId, name: probe.region },
      status: probe.status === 'pending' ? 'pending' : 'active',
    };
  }

  return {
    async enroll(request, remoteIp) {
      try {
        return await run(request, remoteIp);
      } catch (error) {
        metrics.enrolled(error instanceof Problem ? error.code : 'failed');
        throw error;
      }
    },
  };
}

async function openToken(token: string, keys: HubKeys, issuer: string): Promise<EnrollmentClaims> {
  try {
    return await verifyHubToken(token, keys.leaseKeys, { typ: 'enroll+jwt', issuer });
  } catch (error) {
    if (!(error instanceof TokenError)) throw error;
    throw new Problem(401, 'enrollment.invalid', `this is no enrollment token of this hub: ${error.message}`);
  }
}

function refusal(status: number, code: string, detail: string): { problem: Problem } {
  return { problem: new Problem(status, code, detail) };
}
