import type { Logger } from 'pino';
import { verifyHubToken } from '../../shared/hub-token.ts';
import type { LeaseClaims } from '../../shared/lease.ts';
import type { Identity } from '../hub/hub-link.ts';
import type { KeyRing } from '../hub/key-ring.ts';
import type { ShardInForce } from '../schedule/schedule.ts';
import type { Cache } from '../state/cache.ts';
import type { Assignments } from './assignments.ts';
import { hubTimeByWall, type Instant, type LeaseTerm, termOfKept } from './lease-term.ts';

/** The lease that an earlier process kept, its signature verified anew. */
export interface Kept {
  readonly claims: LeaseClaims;
  /** Null where it has run out, or its age is unknown. */
  readonly term: LeaseTerm | null;
  /** Null where they are not whole on this disk. */
  readonly shards: readonly ShardInForce[] | null;
  /** Hub time now, epoch microseconds, as this machine's clock and the lease tell it. */
  readonly hubNowUs: number;
}

export interface KeptLeaseOptions {
  readonly identity: Identity;
  readonly keyRing: KeyRing;
  readonly cache: Cache;
  readonly assignments: Assignments;
  readonly instant: () => Instant;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

/** Null where nothing was kept, or nothing that can be believed: then the hub has to be asked. */
export async function readKeptLease(options: KeptLeaseOptions): Promise<Kept | null> {
  const { identity, keyRing, cache, assignments, instant, log, signal } = options;
  const kept = await cache.readLease();
  if (!kept) return null;
  const expected = { typ: 'lease+jwt', issuer: identity.hub, audience: String(identity.probeId) } as const;
  try {
    const claims = await verifyHubToken(kept.lease, keyRing.keys(), expected);
    const now = instant();
    const term = termOfKept(claims, kept, now);
    const shards =
      term && (await assignments.load(claims.manifest, { online: false, signal }).catch(() => null));
    if (term && shards) {
      const until = new Date(term.wallUntilMs).toISOString();
      log.info(
        { version: claims.version, shards: shards.length, until },
        'going on under the lease kept here',
      );
    }
    return { claims, term, shards, hubNowUs: hubTimeByWall(claims, kept, now.wallMs) };
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    log.warn({ why }, 'the lease kept on disk is not used: waiting for one from the hub');
    return null;
  }
}
