import { signHubToken } from '../../shared/hub-token.ts';
import {
  type Durable,
  type KafkaAccess,
  type LeaseAnswer,
  type LeaseClaims,
  type LeaseRequest,
  laterRequestFields,
} from '../../shared/lease.ts';
import type { ProbeVersions } from '../../shared/probe-versions.ts';
import type { OrderBook } from '../orders/order-book.ts';
import { Problem } from '../problem.ts';
import type { Arrivals } from './arrivals.ts';
import type { HubKeys } from './keys.ts';
import type { LeaseMetrics } from './lease-metrics.ts';
import {
  type Due,
  dueOf,
  durableGapMsFor,
  type LeaseReason,
  lingerMsFor,
  spreadMsFor,
  type Told,
} from './lease-poll.ts';
import type { Manifests } from './manifests.ts';
import { createPendingProbes, unknownProbe } from './pending-probes.ts';
import { refusedFromMs } from './probe-versions.ts';
import type { RegisteredProbe, Registry } from './registry.ts';

/** Checks asked of probes beside their slots. */
export interface LeaseJobs {
  /** How many wait for this probe: a poll answers at once where there are any. */
  waiting(probe: RegisteredProbe): number;
  /** Up to `most` of them, for the lease that is given now; each is given once. */
  take(probe: RegisteredProbe, most: number): LeaseClaims['jobs'];
}

export interface LeaseDeskOptions {
  readonly publicUrl: string;
  readonly leaseTtlSeconds: number;
  readonly kafka: KafkaAccess | null;
  readonly versions?: ProbeVersions;
  readonly keys: Pick<HubKeys, 'lease'>;
  readonly registry: Pick<Registry, 'probeById' | 'regionById'>;
  readonly arrivals: Arrivals;
  readonly manifests: Pick<Manifests, 'of'>;
  readonly jobs: LeaseJobs;
  /** Checks that people wait for. */
  readonly orders: Pick<OrderBook, 'waiting' | 'take'>;
  /** How many probes are about: sets how long results wait for company. */
  readonly probesAbout: () => number;
  /** A probe asked that this replica has told nothing yet. */
  readonly onFirst: () => void;
  readonly metrics: Pick<LeaseMetrics, 'answered' | 'waiting'>;
  /** Epoch microseconds. */
  readonly now: () => number;
  /** Longest wait of one poll, ms. */
  readonly waitMs?: number;
  readonly mostWaiting?: number;
}

/** Where probes wait for their leases. */
export interface LeaseDesk {
  /** Answers at once where there is something to tell, else at the end of the wait. Throws Problem 401, 403, 429 or 503. */
  ask(probe: RegisteredProbe, request: LeaseRequest, signal: AbortSignal): Promise<LeaseAnswer>;
  /** Looks again at all who wait, or at those of these regions: something may have changed for them. */
  lookAgain(regionIds?: readonly number[]): void;
  /** Whose streams are waited for. */
  streams(): { readonly probeId: number; readonly stream: string }[];
  durableMoved(durable: ReadonlyMap<number, readonly Durable[]>): void;
  waiting(): number;
  /** Answers all who wait. */
  stop(): void;
}

interface Poll {
  readonly probe: RegisteredProbe;
  readonly request: LeaseRequest;
  readonly askedMs: number;
  durable: readonly Durable[];
  timer: NodeJS.Timeout | undefined;
  timerAtMs: number;
  readonly settle: (reason: LeaseReason | 'superseded' | 'stopping') => void;
}

const mostAtOnce = 4;
const mostJobs = 1000;
/** What probes were told is remembered for so many; one that was forgotten is told all again. */
const mostTold = 50_000;

export function createLeaseDesk(options: LeaseDeskOptions): LeaseDesk {
  const { keys, registry, arrivals, manifests, jobs, orders, metrics, now } = options;
  const { waitMs = 8000, mostWaiting = 20_000 } = options;
  const polls = new Map<number, Poll>();
  const pending = createPendingProbes(registry.probeById, waitMs);
  const told = new Map<number, Told>();
  const asking = new Map<number, number>();
  let stopped = false;

  // How long results wait for company moves with the number of probes: were it among these, each that comes back after
  // an outage would have all others answered.
  const terms = () => keys.lease.kid;

  function due(poll: Poll): Due {
    const { probe, request, durable, askedMs } = poll;
    const current = registry.probeById(probe.id);
    const tellable = {
      status: current?.status ?? null,
      manifest: manifests.of(probe)?.digest ?? null,
      durable,
      terms: terms(),
      jobs: jobs.waiting(probe) + orders.waiting(probe.id),
    };
    const durableGapMs = durableGapMsFor(polls.size);
    const spreadMs = spreadMsFor(probe.id, Math.max(polls.size, options.probesAbout()), waitMs);
    return dueOf(request, told.get(probe.id), tellable, { askedMs, waitMs, durableGapMs, spreadMs });
  }

  function look(poll: Poll): void {
    const { reason, atMs } = due(poll);
    const nowMs = performance.now();
    if (atMs <= nowMs) poll.settle(reason);
    else if (atMs !== poll.timerAtMs) lookAt(poll, atMs, nowMs);
  }

  function lookAt(poll: Poll, atMs: number, nowMs: number): void {
    clearTimeout(poll.timer);
    poll.timerAtMs = atMs;
    // A timer may fire a millisecond early.
    poll.timer = setTimeout(
      () => {
        poll.timerAtMs = 0;
        look(poll);
      },
      Math.ceil(atMs - nowMs),
    );
  }

  /** Resolves with the reason to answer; rejects where the probe went away. */
  function wait(
    probe: RegisteredProbe,
    request: LeaseRequest,
    askedMs: number,
    durable: readonly Durable[],
    signal: AbortSignal,
  ) {
    // One at a time: whoever asks again has given up its older request.
    polls.get(probe.id)?.settle('superseded');
    const { promise, resolve, reject } = Promise.withResolvers<{ reason: string; poll: Poll }>();
    const leave = () => {
      clearTimeout(poll.timer);
      signal.removeEventListener('abort', gone);
      if (polls.get(probe.id) === poll) polls.delete(probe.id);
      metrics.waiting(polls.size + pending.waiting());
    };
    const gone = () => {
      leave();
      reject(signal.reason);
    };
    const poll: Poll = {
      probe,
      request,
      askedMs,
      durable,
      timer: undefined,
      timerAtMs: 0,
      settle(reason) {
        leave();
        resolve({ reason, poll });
      },
    };
    polls.set(probe.id, poll);
    metrics.waiting(polls.size + pending.waiting());
    signal.addEventListener('abort', gone, { once: true });
    if (signal.aborted) gone();
    else if (stopped) poll.settle('stopping');
    else look(poll);
    return promise;
  }

  async function revoke(probe: RegisteredProbe): Promise<LeaseAnswer> {
    metrics.answered('revoked');
    const claims = {
      iss: options.publicUrl,
      aud: String(probe.id),
      iat: Math.floor(now() / 1_000_000),
      reason: 'an operator revoked this probe',
    };
    return { revoked: await signHubToken('revoked+jwt', claims, keys.lease) };
  }

  async function lease(probe: RegisteredProbe, version: number, poll: Poll): Promise<LeaseAnswer> {
    const region = registry.regionById(probe.regionId);
    const manifest = manifests.of(probe)?.digest;
    if (!region || !manifest) throw busy('the assignments of this region are being made');
    const nowUs = now();
    const iat = Math.floor(nowUs / 1_000_000);
    const claims: LeaseClaims = {
      iss: options.publicUrl,
      aud: String(probe.id),
      region: { id: region.id, name: region.name },
      version,
      manifest,
      durable: [...poll.durable],
      kafka: options.kafka,
      jobs: jobs.take(probe, mostJobs),
      ...(orders.waiting(probe.id) > 0 && { orders: orders.take(probe.id) }),
      lingerMs: lingerMsFor(options.probesAbout()),
      reads: [...laterRequestFields],
      ...(options.versions && { versions: options.versions }),
      now: nowUs,
      iat,
      exp: iat + options.leaseTtlSeconds,
    };
    told.delete(probe.id);
    told.set(probe.id, {
      atMs: performance.now(),
      version,
      manifest,
      durable: poll.durable,
      terms: terms(),
    });
    const [oldest] = told.keys();
    if (told.size > mostTold && oldest !== undefined) told.delete(oldest);
    return { lease: await signHubToken('lease+jwt', claims, keys.lease) };
  }

  /** Before it counts as there: who gets no lease shall keep no shards. */
  function refuseTooOld(version: string): void {
    const { versions } = options;
    const fromMs = versions && refusedFromMs(version, versions);
    if (!versions || fromMs === undefined || fromMs === null || now() < fromMs * 1000) return;
    metrics.answered('too_old');
    throw new Problem(
      403,
      'probe.too_old',
      `this probe is of version ${version.slice(0, 64)}, and this hub takes ${versions.oldest} or newer: update it (the hub is of version ${versions.newest})`,
      { headers: { 'retry-after': '60' } },
    );
  }

  async function answer(
    asker: RegisteredProbe,
    request: LeaseRequest,
    signal: AbortSignal,
  ): Promise<LeaseAnswer> {
    const askedMs = performance.now();
    const probe = asker.status === 'pending' ? await pending.decided(asker, signal) : asker;
    if (probe.status === 'revoked') return revoke(probe);
    refuseTooOld(request.version);
    const arrived = await arrivals.arrive(probe.id, request, signal);
    if (!arrived) throw unknownProbe();
    const { reason, poll } = await wait(probe, request, askedMs, arrived.durable, signal);
    const current = registry.probeById(probe.id);
    if (!current) throw unknownProbe();
    if (current.status !== 'active') return revoke(current);
    metrics.answered(reason);
    if (!told.has(probe.id)) options.onFirst();
    return lease(current, arrived.version, poll);
  }

  return {
    async ask(probe, request, signal) {
      const already = asking.get(probe.id) ?? 0;
      if (already >= mostAtOnce) {
        throw new Problem(429, 'lease.too_many', 'this probe asks for too many leases at once', {
          headers: { 'retry-after': '2' },
        });
      }
      if (polls.size + pending.waiting() >= mostWaiting) throw busy('too many probes wait here');
      asking.set(probe.id, already + 1);
      try {
        return await answer(probe, request, signal);
      } finally {
        const left = (asking.get(probe.id) ?? 1) - 1;
        if (left > 0) asking.set(probe.id, left);
        else asking.delete(probe.id);
      }
    },
    lookAgain(regionIds) {
      for (const poll of [...polls.values()]) {
        if (!regionIds || regionIds.includes(poll.probe.regionId)) look(poll);
      }
      if (!regionIds) pending.lookAgain();
    },
    streams: () =>
      [...polls.values()].flatMap(({ probe, request }) =>
        request.streams.map(({ stream }) => ({ probeId: probe.id, stream })),
      ),
    durableMoved(durable) {
      for (const poll of [...polls.values()]) {
        const moved = durable.get(poll.probe.id);
        if (!moved) continue;
        poll.durable = moved;
        look(poll);
      }
    },
    waiting: () => polls.size + pending.waiting(),
    stop() {
      stopped = true;
      for (const poll of [...polls.values()]) poll.settle('stopping');
      pending.stop();
    },
  };
}

function busy(why: string): Problem {
  return new Problem(503, 'lease.unavailable', `${why}: ask again`, { headers: { 'retry-after': '1' } });
}
