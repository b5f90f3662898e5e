import type { LeaseClaims } from '../../shared/lease.ts';
import type { KeptLease } from '../state/cache.ts';

/**
 * Until when a lease holds, on two clocks: this machine's steady one since the lease came, and its wall clock, which
 * sees what the other does not (a paused VM, a restart). Whichever says that it is over is right.
 */
export interface LeaseTerm {
  readonly claims: LeaseClaims;
  readonly steadyUntilUs: number;
  readonly wallUntilMs: number;
}

export interface Instant {
  readonly steadyUs: number;
  readonly wallMs: number;
}

/** How far the wall clock may have been set back since a lease was kept: more, and its age is unknown. */
const mostSetBackMs = 60_000;

export function termOf(claims: LeaseClaims, received: Instant): LeaseTerm {
  const lifeUs = claims.exp * 1_000_000 - claims.now;
  return {
    claims,
    steadyUntilUs: received.steadyUs + lifeUs,
    wallUntilMs: received.wallMs + lifeUs / 1000,
  };
}

export function holds(term: LeaseTerm, { steadyUs, wallMs }: Instant): boolean {
  return steadyUs < term.steadyUntilUs && wallMs < term.wallUntilMs;
}

/** The term that is left of a lease kept on disk by an earlier process; null where none is, or nobody can tell. */
export function termOfKept(claims: LeaseClaims, { receivedAt }: KeptLease, now: Instant): LeaseTerm | null {
  if (now.wallMs < receivedAt - mostSetBackMs) return null;
  const ageMs = Math.max(0, now.wallMs - receivedAt);
  const term = termOf(claims, { steadyUs: now.steadyUs - ageMs * 1000, wallMs: receivedAt });
  return holds(term, now) ? term : null;
}

/** Hub time now, by this machine's clock and how it stood against the hub's when the lease came. Epoch microseconds. */
export function hubTimeByWall(claims: LeaseClaims, { receivedAt }: KeptLease, wallMs: number): number {
  return claims.now + Math.max(0, wallMs - receivedAt) * 1000;
}
