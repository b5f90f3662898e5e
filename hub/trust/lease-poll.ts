import type { Durable, LeaseRequest } from '../../shared/lease.ts';
import type { RegisteredProbe } from './registry.ts';

/** What a probe was last told by this replica. */
export interface Told {
  /** Monotonic milliseconds. */
  readonly atMs: number;
  readonly version: number;
  readonly manifest: string;
  readonly durable: readonly Durable[];
  /** Everything else that a probe should hear of before its time is over: the key that signs. */
  readonly terms: string;
}

/** What it would be told now. */
export interface Tellable {
  readonly status: RegisteredProbe['status'] | null;
  /** Null while its region's documents are being made. */
  readonly manifest: string | null;
  readonly durable: readonly Durable[];
  readonly terms: string;
  readonly jobs: number;
}

export type LeaseReason = 'first' | 'revoked' | 'jobs' | 'manifest' | 'terms' | 'durable' | 'time';

export interface Due {
  readonly reason: LeaseReason;
  /** Monotonic milliseconds. */
  readonly atMs: number;
}

/** A probe that cannot fetch what it is told of shall not ask in a hot loop. */
export const sameAgainMs = 500;

/**
 * When a poll that came at `askedMs` is to be answered, and why: at once where the probe should know of something,
 * at the end of its time else. Pure.
 */
export function dueOf(
  request: Pick<LeaseRequest, 'have' | 'manifest'>,
  told: Told | undefined,
  now: Tellable,
  times: {
    readonly askedMs: number;
    readonly waitMs: number;
    readonly durableGapMs: number;
    /** How long it waits for what is of no hurry and comes to all probes at once. */
    readonly spreadMs: number;
  },
): Due {
  const { askedMs, waitMs, durableGapMs, spreadMs } = times;
  const end: Due = { reason: 'time', atMs: askedMs + waitMs };
  if (now.status !== 'active') return { reason: 'revoked', atMs: askedMs };
  if (now.manifest === null) return end;
  if (now.jobs > 0) return { reason: 'jobs', atMs: askedMs };
  if (!told) {
    // Another replica, or this one before a restart, has told it all but what is durable.
    const knows = request.have > 0 && request.manifest === now.manifest;
    return { reason: 'first', atMs: knows ? askedMs + spreadMs : askedMs };
  }
  // What it was told last got lost, or did not last.
  if (request.have < told.version) {
    return { reason: 'first', atMs: Math.max(askedMs, told.atMs + sameAgainMs) };
  }
  const reasons: Due[] = [end];
  if (now.manifest !== request.manifest) {
    const again = now.manifest === told.manifest;
    reasons.push({ reason: 'manifest', atMs: again ? told.atMs + sameAgainMs : askedMs });
  }
  if (now.terms !== told.terms) reasons.push({ reason: 'terms', atMs: askedMs + spreadMs });
  if (!sameDurable(now.durable, told.durable)) {
    reasons.push({ reason: 'durable', atMs: Math.max(askedMs, told.atMs + durableGapMs) });
  }
  return reasons.reduce((first, next) => (next.atMs < first.atMs ? next : first));
}

/** Both are in the order of their streams. */
function sameDurable(a: readonly Durable[], b: readonly Durable[]): boolean {
  return (
    a.length === b.length &&
    a.every((one, index) => one.stream === b[index]?.stream && one.upTo === b[index]?.upTo)
  );
}

/** Most milliseconds a result waits for company: 10,000 probes shall make about 1,000 messages a second, not 10,000. */
export function lingerMsFor(probes: number): number {
  return Math.min(10_000, Math.max(1000, Math.ceil(probes / 500) * 500));
}

/**
 * After a restart all probes come within seconds. Answered each at once they would come in step for ever after; with
 * a millisecond a probe their turns are spread over the whole wait again. The golden section spreads ids evenly.
 */
export function spreadMsFor(probeId: number, probes: number, waitMs: number): number {
  return Math.min(waitMs, probes) * ((probeId * 0.618_033_988_749_895) % 1);
}

/** Each answer to a probe costs a signature: with many of them waiting, each hears less often of its durable results. */
export function durableGapMsFor(waiting: number): number {
  return Math.min(8000, Math.max(500, 2 * waiting));
}
