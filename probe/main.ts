import type { Logger } from 'pino';
import { commonBatchSchema } from '../shared/batch-schema.ts';
import { Failed } from '../shared/command-line.ts';
import type { LeaseClaims, laterRequestFields } from '../shared/lease.ts';
import type { Result } from '../shared/result.ts';
import { createHubClock } from './clock/hub-clock.ts';
import { createOffsetWords } from './clock/offset-words.ts';
import { createSharedOffset } from './clock/shared-offset.ts';
import { createSteadyClock } from './clock/steady-clock.ts';
import type { ProbeConfig } from './config.ts';
import type { Outbox } from './deliver/outbox.ts';
import type { HubLink, Identity } from './hub/hub-link.ts';
import { openKeyRing } from './hub/key-ring.ts';
import { openHubLink, readAuthority } from './hub/open-hub-link.ts';
import { join } from './join.ts';
import { createAssignments } from './lease/assignments.ts';
import { readKeptLease } from './lease/kept-lease.ts';
import { createLeaseLoop, Revoked } from './lease/lease-loop.ts';
import type { Instant } from './lease/lease-term.ts';
import { createLookAround } from './network/look-around.ts';
import { createNetworkWatch } from './network/network-watch.ts';
import { doubtCertificates } from './run/certificate-doubt.ts';
import { createEvidenceWatch } from './run/evidence-watch.ts';
import { createJobs } from './run/jobs.ts';
import { type Limit, limited, memoryLimit, rateLimit } from './run/limited.ts';
import type { CheckerTerms } from './run/make-checker.ts';
import type { MeasuredChecker } from './run/measured.ts';
import { createOnce } from './run/once.ts';
import { createOrders } from './run/orders.ts';
import { createRunner } from './run/runner.ts';
import { startTicker } from './run/timer.ts';
import { createBreather } from './schedule/breather.ts';
import { createSchedule, type DueSlot, type ShardInForce } from './schedule/schedule.ts';
import { openCache } from './state/cache.ts';
import { type DataFolder, openDataFolder } from './state/data-folder.ts';
import { writeIdentity } from './state/identity-file.ts';
import { runtime, version } from './version.ts';
import { noMetrics, type ProbeMetrics } from './watch/metrics.ts';
import { createOrphanWatch } from './watch/orphan.ts';
import { createVersionWatch } from './watch/version-watch.ts';

/** What the other rooms make for this one; seams for tests. */
export interface ProbeParts {
  readonly log: Logger;
  /** `hubOrigins` are never a target; `clockOffset` is how wrong this machine's clock is, as long as it checks. */
  readonly makeChecker: (
    given: Required<Pick<CheckerTerms, 'hubOrigins' | 'clockOffset'>>,
  ) => Promise<MeasuredChecker>;
  readonly openOutbox: (own: OutboxParts) => Promise<Outbox>;
  readonly metrics?: ProbeMetrics;
}

export interface OutboxParts {
  readonly dir: string;
  readonly identity: Identity;
  readonly link: HubLink;
  /** Hub time, epoch microseconds. */
  readonly now: () => number;
}

/** A clean stop ends inside 10 s: what runs may end by itself, then what is in hand is delivered. */
const drainMs = 5000;
const deliverMs = 3000;
/** With `--once` there is nobody who waits, and no later. */
const deliverOnceMs = 30_000;
const lookAtHubMs = 5000;
/** A probe that is new in its region gets its shards within seconds, when others have let go of them. */
const waitForWorkMs = 60_000;
const mostAtOncePerWorker = 1000;

/** Enrolls where it must, then checks until `signal` aborts. Throws Failed, one line with what to do. */
export async function runProbe(config: ProbeConfig, parts: ProbeParts, signal: AbortSignal): Promise<void> {
  const folder = await openDataFolder(config.dataDir);
  try {
    const ca = config.hubCaFile === null ? null : await readAuthority(config.hubCaFile);
    const { enrolled, key, anew } = await join({ config, folder, ca, log: parts.log, signal });
    const identity: Identity = { ...enrolled, key };
    const dial = config.hub ?? enrolled.hub;
    const link = openHubLink({ dial, hub: enrolled.hub, key, kid: enrolled.kid, env: config.env, ca });
    try {
      await watchOver(config, parts, { folder, identity, link, root: enrolled.root, dial, ca, anew }, signal);
    } catch (error) {
      if (!(error instanceof Revoked)) throw error;
      await openCache(folder).wipe();
      const revoked = { at: new Date().toISOString(), reason: error.message };
      await writeIdentity(folder, { ...enrolled, revoked });
      throw new Failed(
        `the hub has revoked this probe (${error.message}): it checks nothing any more and its assignments are wiped. To enroll anew, empty ${folder.path} and give a new token`,
      );
    } finally {
      await link.close();
    }
  } finally {
    await folder.release();
  }
}

interface Own {
  readonly folder: DataFolder;
  readonly identity: Identity;
  readonly link: HubLink;
  readonly root: string;
  readonly dial: string;
  /** PEM of `--hub-ca`. */
  readonly ca: string | null;
  /** It enrolled just now: nobody ran anything before. */
  readonly anew: boolean;
}

/** Everything that runs, from the first lease to the last result. */
async function watchOver(
  config: ProbeConfig,
  parts: ProbeParts,
  { folder, identity, link, root, dial, ca, anew }: Own,
  signal: AbortSignal,
): Promise<void> {
  const { log, metrics = noMetrics } = parts;
  const { probeId, region, hub } = identity;
  const steady = createSteadyClock();
  const instant = (): Instant => ({ steadyUs: steady.nowUs(), wallMs: Date.now() });
  const cache = openCache(folder);
  const keyRing = await openKeyRing({ link, cache, hub, pinnedRoot: root });
  const assignments = createAssignments({ probeId, regionId: region.id, link, cache, log });
  const kept = await readKeptLease({ identity, keyRing, cache, assignments, instant, log, signal });
  const clock = createHubClock(steady, kept?.hubNowUs ?? Date.now() * 1000);
  const { nowUs } = clock;
  const floorUs = anew ? 0 : floorOf(await cache.takeStop(), nowUs());

  const outbox = await parts.openOutbox({ dir: folder.spool, identity, link, now: nowUs });
  const memory = config.maxMemoryBytes === null ? null : memoryLimit(config.maxMemoryBytes);
  const limits: Limit[] = [
    ...(config.maxRate === null ? [] : [rateLimit(config.maxRate)]),
    ...(memory ? [memory.limit] : []),
  ];
  const hubOrigins = [dial, hub].map((url) => new URL(url).origin);
  const offset = createSharedOffset();
  offset.set(clock.offsetUs());
  const own = await parts.makeChecker({ hubOrigins, clockOffset: offset.buffer });
  const checker = doubtCertificates(limited(own, limits), clock);
  const schedule = createSchedule({ regionId: region.id, floorUs });
  const network = createNetworkWatch({
    lookAround: createLookAround({ ...config.network, dial, hub, root, ca, env: config.env }),
    emit: spool,
    assignment: schedule.assignment,
    nowUs,
    log,
  });
  const mostAtOnce = mostAtOncePerWorker * config.workers;
  const evidence = createEvidenceWatch();
  const runner = createRunner({
    probeId,
    regionId: region.id,
    checker,
    nowUs,
    emit: network.take,
    log,
    mostAtOnce,
    evidence,
  });
  const once = config.once ? createOnce(runner, nowUs, mostAtOnce) : null;
  const ending = new AbortController();
  const orders = createOrders({ checker, link, nowUs, log });
  const jobs = createJobs({ regionId: region.id, schedule, run: runner.run });

  // A slot's way through the probe: due -> check -> result -> (whose fault?) -> outbox.
  function onDue(slot: DueSlot): void {
    if (!leases.current()) return;
    if (slot.missed) runner.skip(slot, 'probe.paused', 'the probe was paused when this slot was due');
    else runner.run(slot);
  }
  function spool(seen: Result, urgent: boolean): void {
    const result = evidence.settled(seen);
    metrics.observe(result);
    once?.observe(result);
    outbox.add(result, urgent).catch((error: unknown) => log.error({ err: error }, 'a result was not kept'));
  }

  let puttings = 0;
  async function putInForce(shards: readonly ShardInForce[]): Promise<void> {
    puttings += 1;
    const mine = puttings;
    if (once) {
      // The first that hold anything are all that count: nothing is scheduled.
      if (shards.length > 0 && (await once.run(shards, signal))) ending.abort();
      return;
    }
    const breathe = createBreather();
    for (const _ of schedule.putStepwise(shards, nowUs)) {
      await breathe();
      // Newer ones came meanwhile.
      if (mine !== puttings) return;
    }
    ticker.rearm();
  }

  const updates = createVersionWatch(version, log);
  const ticker = startTicker({ schedule, steady, nowUs, onDue });
  const sayOffset = createOffsetWords(clock, log);
  const onLease = (claims: LeaseClaims) => {
    const { durable, kafka, lingerMs, versions } = claims;
    const batchSchema = commonBatchSchema(versions?.batchSchemas);
    outbox.obey({ leaseVersion: claims.version, batchSchema, lingerMs, durable, kafka });
    updates.take(versions);
    jobs.take(claims.jobs);
    orders.take(claims.orders ?? []);
    offset.set(clock.offsetUs());
    sayOffset();
  };
  const leases = createLeaseLoop({
    identity,
    link,
    keyRing,
    cache,
    assignments,
    clock,
    instant,
    log,
    onLease,
    onShards: (shards) => void putInForce(shards),
    report() {
      const { dropped, streams, spoolBytes } = outbox.status();
      return {
        capacity: capacityOf(config, memory?.over() ?? false),
        noise: checker.noiseUs(),
        dropped,
        streams: streams.slice(0, 64),
        spoolBytes,
        version,
        runtime: runtime(),
        ...(reads('network') && { network: network.report() }),
        ...(reads('clockOffsetUs') && clock.learned() && { clockOffsetUs: clock.offsetUs() }),
      };
    },
  });
  function reads(field: (typeof laterRequestFields)[number]): boolean {
    return leases.current()?.reads?.includes(field) ?? false;
  }
  metrics.watch({
    schedule,
    runner,
    outbox,
    leases,
    evidence,
    updates,
    network,
    clock,
    noiseUs: checker.noiseUs,
    nowUs,
  });

  const orphan =
    config.orphanWebhook === null
      ? null
      : createOrphanWatch({
          url: config.orphanWebhook,
          probe: { id: probeId, name: config.name, region: region.name, hub },
          log,
        });
  const watching = setInterval(() => {
    orphan?.look(leases.away());
    if (leases.away() !== null) network.doubt();
  }, lookAtHubMs);
  if (once) setTimeout(() => once.isBegun() || ending.abort(), waitForWorkMs).unref();
  let delivered = true;
  try {
    log.info({ probe: probeId, region: region.name, hub, version }, 'the probe runs');
    // What is to run once is what the hub wants now.
    const known = kept && once ? { ...kept, shards: null } : kept;
    await leases.run(known, AbortSignal.any([signal, ending.signal]));
  } finally {
    clearInterval(watching);
    memory?.stop();
    orders.stop();
    ticker.stop();
    const stoppedUs = nowUs();
    await runner.drain(AbortSignal.timeout(drainMs));
    network.stop();
    const delivering = AbortSignal.timeout(once ? deliverOnceMs : deliverMs);
    await outbox.stop(delivering);
    delivered = !delivering.aborted;
    await cache
      .writeStop(stoppedUs)
      .catch((error: unknown) => log.warn({ err: error }, 'slots of the pause are not made up for'));
    await checker.close();
    log.info('the probe has stopped');
  }
  if (!signal.aborted) once?.conclude(delivered, leases.trouble());
}

/** What the hub may give it: of one that is short of memory less, so that others take over. */
function capacityOf({ capacity, maxRate }: ProbeConfig, isShort: boolean): number {
  const most = Math.min(capacity, maxRate ?? capacity);
  return isShort ? Math.max(1, Math.floor(most / 2)) : most;
}

/** A restart is no reason to miss a slot, as long as nobody else will have taken the shards. */
const longestRestartUs = 15_000_000;

/** Slots up to here may have been run by an earlier process; null where nobody can tell. Clocks may have been set a little. */
function floorOf(stoppedUs: number | null, nowUs: number): number | null {
  return stoppedUs !== null && Math.abs(nowUs - stoppedUs) <= longestRestartUs ? stoppedUs : null;
}
