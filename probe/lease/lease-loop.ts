import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import { verifyHubToken } from '../../shared/hub-token.ts';
import { TokenError } from '../../shared/jws.ts';
import { type LeaseClaims, type LeaseRequest, leaseAnswerSchema } from '../../shared/lease.ts';
import type { HubClock } from '../clock/hub-clock.ts';
import { createBackoff } from '../hub/backoff.ts';
import type { HubAnswer, HubLink, Identity } from '../hub/hub-link.ts';
import type { KeyRing } from '../hub/key-ring.ts';
import { HubAnswerError, linkTrouble, problemOf } from '../hub/open-hub-link.ts';
import type { ShardInForce } from '../schedule/schedule.ts';
import type { Cache } from '../state/cache.ts';
import type { Assignments } from './assignments.ts';
import type { Kept } from './kept-lease.ts';
import { holds, type Instant, type LeaseTerm, termOf } from './lease-term.ts';

/** The hub wants this probe no more, and has signed that. */
export class Revoked extends Error {}

export interface LeaseLoopOptions {
  readonly identity: Identity;
  readonly link: HubLink;
  readonly keyRing: KeyRing;
  readonly cache: Cache;
  readonly assignments: Assignments;
  readonly clock: HubClock;
  readonly instant: () => Instant;
  /** What the request says besides what is in force. */
  readonly report: () => Omit<LeaseRequest, 'have' | 'manifest'>;
  /** A lease was verified: its terms hold from now on. */
  readonly onLease: (claims: LeaseClaims) => void;
  /** What is checked from now on; nothing where the lease has run out. */
  readonly onShards: (shards: readonly ShardInForce[]) => void;
  readonly log: Logger;
  readonly retry?: { readonly firstMs: number; readonly mostMs: number };
}

export interface LeaseLoop {
  /** Runs until `signal` aborts. Rejects with Revoked; whatever else goes wrong is said and tried again. */
  run(kept: Kept | null, signal: AbortSignal): Promise<void>;
  /** The lease in force, or null. */
  current(): LeaseClaims | null;
  /** Whether the hub has answered the last request, and why not. */
  trouble(): string | null;
  /** Why nothing of the hub's own was heard at the last request, or null: to be refused is to be heard. */
  away(): string | null;
}

/** The hub holds the request 8 s; the rest is for the way. */
const pollTimeoutMs = 8000 + 7000;
/** A hub that always answers at once is not asked in a circle. */
const leastTurnMs = 100;
const keySetEveryMs = 3_600_000;
const keySetAgainMs = 60_000;
const sayAgainMs = 60_000;
const longestRetryAfterMs = 60_000;
/** The hub gives a probe's shards away when it was unseen for 20 s: a lease kept for so long may be of shards that others check now. */
const freshUs = 15_000_000;
/** Whether they do, the hub is asked first; one that does not answer within this is away. */
const askFirstMs = 5000;

export function createLeaseLoop(options: LeaseLoopOptions): LeaseLoop {
  const { identity, link, keyRing, cache, assignments, clock, instant, report, onLease, onShards, log } =
    options;
  const backoff = createBackoff(options.retry ?? { firstMs: 500, mostMs: 10_000 });
  let term: LeaseTerm | null = null;
  /** Of the newest lease that was seen, in force or not: an older one is never taken again. */
  let version = 0;
  /** Digest of the manifest in force: of an older lease as long as the newest one's could not be had. */
  let manifest: string | null = null;
  let shards: readonly ShardInForce[] = [];
  let running = false;
  let trouble: string | null = null;
  let heard = true;
  let saidAtMs = Number.NEGATIVE_INFINITY;
  let keysDueMs = Number.NEGATIVE_INFINITY;
  /** Runs out where the hub does not answer at the start. */
  let asking: NodeJS.Timeout | undefined;

  /** Nothing is checked under an expired lease: looked at each second and before each turn. */
  function watchTerm(): void {
    const valid = term !== null && holds(term, instant());
    if (running && !valid) {
      running = false;
      onShards([]);
      log.error('the lease has run out and the hub gave no new one: nothing is checked until it does');
    } else if (!running && valid && manifest !== null) {
      running = true;
      onShards(shards);
    }
  }

  function complain(why: string, level: 'warn' | 'error' = 'warn'): void {
    const nowMs = performance.now();
    if (why === trouble && nowMs - saidAtMs < sayAgainMs) return;
    trouble = why;
    saidAtMs = nowMs;
    const going = term && holds(term, instant());
    const until = going ? new Date(term?.wallUntilMs ?? 0).toISOString() : undefined;
    log[level](
      { why, ...(until && { until }) },
      going ? 'no new lease: going on under the one in force' : 'no lease: nothing is checked',
    );
  }

  function recovered(): void {
    if (trouble !== null) log.info('the hub answers again');
    trouble = null;
    backoff.reset();
  }

  async function refreshKeys(signal: AbortSignal): Promise<void> {
    await keyRing.refresh(signal);
    keysDueMs = performance.now() + keySetEveryMs;
  }

  /** Leases do not wait for it: the keys in hand still tell the hub from others. */
  async function renewKeys(signal: AbortSignal): Promise<void> {
    if (performance.now() < keysDueMs) return;
    try {
      await refreshKeys(signal);
    } catch (error) {
      if (signal.aborted || keyRing.keys().length === 0) throw error;
      keysDueMs = performance.now() + keySetAgainMs;
      // A hub that is away says so itself, to the next request.
      if (!(error instanceof TokenError || error instanceof HubAnswerError)) return;
      log.error({ why: error.message }, "the hub's newest keys cannot be had: going on with those known");
    }
  }

  /** Once more with the newest keys where the signing one is not known: they may have been rotated. */
  async function verify<Type extends 'lease+jwt' | 'revoked+jwt'>(
    jws: string,
    typ: Type,
    signal: AbortSignal,
  ) {
    const expected = { typ, issuer: identity.hub, audience: String(identity.probeId) };
    try {
      return await verifyHubToken(jws, keyRing.keys(), expected);
    } catch (error) {
      if (!(error instanceof TokenError && error.code === 'unknown_key')) throw error;
      await refreshKeys(signal);
      return verifyHubToken(jws, keyRing.keys(), expected);
    }
  }

  async function takeLease(
    jws: string,
    received: Instant,
    tookUs: number,
    signal: AbortSignal,
  ): Promise<void> {
    const claims = await verify(jws, 'lease+jwt', signal);
    if (claims.version <= version) {
      throw new HubAnswerError(`lease ${claims.version} is not newer than ${version}, which was seen before`);
    }
    if (claims.region.id !== identity.region.id) {
      throw new HubAnswerError(`the lease is for the region ${claims.region.name}, not this probe's`);
    }
    const found = termOf(claims, received);
    if (!holds(found, instant())) throw new HubAnswerError('the hub gave a lease that has run out already');
    term = found;
    version = claims.version;
    // The hub has answered: what it gives now counts, however long that takes to load.
    clearTimeout(asking);
    clock.learn(claims.now, tookUs, received.steadyUs);
    onLease(claims);
    if (manifest !== claims.manifest) {
      shards = await assignments.load(claims.manifest, { online: true, signal });
      manifest = claims.manifest;
      running = true;
      onShards(shards);
      const endpoints = shards.reduce((sum, shard) => sum + shard.endpoints.length, 0);
      log.info({ version: claims.version, shards: shards.length, endpoints }, 'new assignments in force');
    }
    watchTerm();
    await keep(jws, received.wallMs, claims.manifest);
  }

  async function keep(lease: string, receivedAt: number, inForce: string): Promise<void> {
    try {
      await cache.writeLease({ lease, receivedAt: Math.floor(receivedAt) });
      await cache.keepDocuments(new Set([inForce, ...shards.map(({ digest }) => digest)]));
    } catch (error) {
      log.warn({ err: error }, 'the lease could not be kept on disk: a restart needs the hub');
    }
  }

  async function turn(signal: AbortSignal): Promise<void> {
    await renewKeys(signal);
    const request = { ...report(), have: version, manifest } satisfies LeaseRequest;
    const askedUs = instant().steadyUs;
    const answer = await link.request('POST', '/v1/lease', {
      body: Buffer.from(JSON.stringify(request)),
      headers: { 'content-type': 'application/json' },
      timeoutMs: pollTimeoutMs,
      signal,
    });
    const received = instant();
    heard = answer.status < 500;
    if (answer.status !== 200) return refused(answer, signal);
    const { lease, revoked } = parseAnswer(answer);
    if (revoked !== undefined) {
      const { reason } = await verify(revoked, 'revoked+jwt', signal);
      throw new Revoked(reason);
    }
    if (lease === undefined) throw new HubAnswerError('the hub answered without a lease');
    await takeLease(lease, received, received.steadyUs - askedUs, signal);
    recovered();
  }

  async function refused({ status, headers, body }: HubAnswer, signal: AbortSignal): Promise<void> {
    const { code, detail } = problemOf(body);
    if (code === 'probe.pending') {
      complain(`an operator has to approve this probe: parallax probes approve ${identity.probeId}`);
    } else {
      complain(detail || `the hub answered ${status}`, status < 500 ? 'error' : 'warn');
    }
    const afterMs = Number(headers.get('retry-after')) * 1000;
    await backoff.wait(signal, afterMs > 0 ? Math.min(afterMs, longestRetryAfterMs) : 0);
  }

  /** What an earlier process kept is in force from now on, unless something newer is. */
  function goOnWith({ claims, shards: keptShards }: Kept): void {
    if (manifest !== null || !keptShards) return;
    shards = keptShards;
    manifest = claims.manifest;
    watchTerm();
  }

  return {
    async run(kept, signal) {
      if (kept) {
        version = kept.claims.version;
        term = kept.term;
        if (kept.term) onLease(kept.claims);
        if (kept.hubNowUs - kept.claims.now < freshUs) goOnWith(kept);
        else asking = setTimeout(() => goOnWith(kept), askFirstMs);
      }
      watchTerm();
      const watching = setInterval(watchTerm, 1000);
      try {
        while (!signal.aborted) {
          const sinceMs = performance.now();
          try {
            await turn(signal);
            await pause(leastTurnMs - (performance.now() - sinceMs), signal);
          } catch (error) {
            if (error instanceof Revoked) throw error;
            if (signal.aborted) return;
            heard &&= error instanceof HubAnswerError;
            complain(...troubleOf(error));
            if (kept) goOnWith(kept);
            await backoff.wait(signal);
          }
        }
      } finally {
        clearInterval(watching);
        clearTimeout(asking);
      }
    },
    current: () => (term && holds(term, instant()) ? term.claims : null),
    trouble: () => trouble,
    away: () => (heard ? null : trouble),
  };
}

function parseAnswer({ body }: HubAnswer) {
  try {
    return leaseAnswerSchema.parse(JSON.parse(Buffer.from(body).toString('utf8')));
  } catch (error) {
    throw new HubAnswerError("the hub's answer is not a lease", { cause: error });
  }
}

function troubleOf(error: unknown): [why: string, level: 'warn' | 'error'] {
  if (error instanceof TokenError)
    return [`the hub's answer is not to be believed: ${error.message}`, 'error'];
  if (error instanceof HubAnswerError) return [error.message, 'error'];
  return [`the hub cannot be reached: ${linkTrouble(error)}`, 'warn'];
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  if (ms > 0) await sleep(ms, undefined, { signal }).catch(() => undefined);
}
