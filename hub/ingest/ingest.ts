import { setImmediate as breathe, setTimeout as wait } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { Database } from '../store/database.ts';
import type { Keeper } from '../store/keeper.ts';
import type { Registry } from '../trust/registry.ts';
import type { BatchHandler, IncomingBatch } from './bus.ts';
import { createDecodedRoom } from './decoded-room.ts';
import { createGuard, type GuardOptions } from './guard.ts';
import { createIngestMetrics, type IngestMetrics } from './ingest-metrics.ts';
import { createLanes } from './lanes.ts';
import { createRejectRoom } from './reject-room.ts';
import { createSecondLook } from './second-look.ts';
import { type Stored, storeBatches } from './store-batches.ts';
import { isPartitionGone, StoreUnavailable, troubleOf } from './trouble.ts';
import { poisoned, type VerifiedBatch, verifyBatch } from './verify.ts';

export interface IngestOptions {
  readonly db: Database;
  readonly registry: Registry;
  readonly keeper: Pick<Keeper, 'hasPartition' | 'sealedUntilUs' | 'look' | 'tend'>;
  readonly log: Pick<Logger, 'info' | 'warn' | 'error'>;
  /** Epoch microseconds. */
  readonly now: () => number;
  /** One transaction holds so many rows or waits so long, whichever comes first. */
  readonly maxRows: number;
  readonly maxMs: number;
  readonly metrics?: IngestMetrics;
  /** What one probe may waste. */
  readonly brake?: GuardOptions['brake'];
}

export interface Ingest {
  /** Resolves when the batches are committed, or refused for good. Throws StoreUnavailable or ProgressConflict. */
  readonly handle: BatchHandler;
}

/** Some 600 full batches, and several transactions' worth. In memory they take three times as much. */
const maxDecodedBytes = 64 * 1024 * 1024;

/** How often one transaction is tried before its batches go back to the bus, which then waits. */
const tries = { again: 10, away: 3 };

/**
 * Transactions at a time. One connection of PostgreSQL keeps one core busy and waits for the disk at each commit; a
 * third would find no core free where hub and database share two.
 */
const lanes = 2;

/** From the bus to the database: decode and verify, gather, then store rows and progress in one transaction. */
export function createIngest(options: IngestOptions): Ingest {
  const { db, registry, keeper, log, now, maxRows: maxSize, maxMs } = options;
  const metrics = options.metrics ?? createIngestMetrics();
  const gather = createLanes<VerifiedBatch>(lanes, laneOf, { maxSize, maxMs, sizeOf, store });
  const { brake } = options;
  const guard = createGuard({ registry, now, ...(brake && { brake }) });
  const room = createRejectRoom({ now });
  const decoded = createDecodedRoom(maxDecodedBytes);
  const looks = {
    registry: lookAt('registry', () => registry.refresh()),
    partitions: lookAt('partitions', keeper.tend),
  };

  async function handle(incoming: readonly IncomingBatch[], signal: AbortSignal): Promise<void> {
    const stored: Promise<void>[] = [];
    const cameMs = performance.now();
    let breathedMs = cameMs;
    for (const one of incoming) {
      const unread = guard.stops(one);
      if (!unread) await decoded.free(signal);
      const batch = unread ?? (await verified(one, cameMs));
      const bytes = batch.decodedBytes ?? one.value.length;
      decoded.take(bytes);
      const adding = gather.add(batch, signal).finally(() => decoded.leave(bytes));
      // It may fail while others are still verified, and is told of below.
      adding.catch(() => undefined);
      stored.push(adding);
      // A batch takes a millisecond or two of this thread: requests get their turn between them.
      if (performance.now() - breathedMs < 0.5) continue;
      await breathe();
      breathedMs = performance.now();
    }
    const failed = (await Promise.allSettled(stored)).find((one) => one.status === 'rejected');
    if (failed) throw failed.reason;
  }

  function verify(incoming: IncomingBatch): VerifiedBatch {
    return verifyBatch(incoming, registry, {
      nowUs: now(),
      sealedUntilUs: keeper.sealedUntilUs(),
      hasPartition: keeper.hasPartition,
    });
  }

  async function verified(incoming: IncomingBatch, cameMs: number): Promise<VerifiedBatch> {
    const batch = verify(incoming);
    const { doubt, claim } = batch;
    if (!doubt) return batch;
    const looked = await Promise.all(
      (doubt === 'both' ? (['registry', 'partitions'] as const) : [doubt]).map((what) =>
        claim ? looks[what].of(claim.probeId, cameMs) : looks[what].ofAnybody(cameMs),
      ),
    );
    return looked.includes(true) ? verify(incoming) : batch;
  }

  function lookAt(what: 'registry' | 'partitions', look: () => Promise<void>) {
    const onError = (error: unknown) => log.warn({ err: error }, `the ${what} could not be read again`);
    return createSecondLook({ look, onError });
  }

  async function store(group: readonly VerifiedBatch[]): Promise<ReadonlyMap<VerifiedBatch, Error>> {
    for (let attempt = 1; ; attempt += 1) {
      const beganMs = performance.now();
      try {
        const stored = await storeBatches(db, group, { room, memory: guard.memory });
        tell(stored, performance.now() - beganMs);
        guard.settle(stored);
        return new Map(stored.misplaced.map(({ batch, conflict }) => [batch, conflict]));
      } catch (error) {
        const trouble = troubleOf(error);
        if (trouble === 'data') return isolate(group, error);
        if (attempt >= tries[trouble]) throw new StoreUnavailable(error);
        metrics.retried();
        await wait(trouble === 'again' ? 10 * attempt * Math.random() : 200 * 2 ** attempt);
      }
    }
  }

  /** A group fails whole for what one batch holds: halves find it, the others are stored, it alone is refused. */
  async function isolate(group: readonly VerifiedBatch[], cause: unknown) {
    const [only] = group;
    if (group.length === 1 && only) {
      const refused = isPartitionGone(cause) && !only.again ? await verifyAnew(only) : refusalOf(only, cause);
      const conflict = (await store([refused])).get(refused);
      return new Map(conflict ? [[only, conflict]] : []);
    }
    const middle = Math.ceil(group.length / 2);
    const first = await store(group.slice(0, middle));
    const second = await store(group.slice(middle));
    return new Map([...first, ...second]);
  }

  /** Its partition was dropped, by any replica, after it was verified: it is too late by now, and not to blame. */
  async function verifyAnew({ incoming }: VerifiedBatch): Promise<VerifiedBatch> {
    await keeper.look();
    return { ...verify(incoming), again: true };
  }

  function refusalOf(batch: VerifiedBatch, cause: unknown): VerifiedBatch {
    const { claim, poison } = batch;
    if (!poison) {
      log.error({ err: cause, stream: claim?.stream, seq: claim?.seq }, 'a batch cannot be stored');
      return poisoned(batch, String(cause));
    }
    // Not even its stream can be written down, such as that of a deleted probe: without, it holds up nobody else.
    if (claim) return { ...batch, claim: null };
    throw new StoreUnavailable(cause);
  }

  function tell(stored: Stored, tookMs: number): void {
    metrics.stored(stored.batches, stored.rows, tookMs / 1000);
    if (stored.repeated > 0) metrics.skipped('repeated', stored.repeated);
    if (stored.deferred > 0) metrics.skipped('too_many_holes', stored.deferred);
    for (const [reason, rejects] of Map.groupBy(stored.rejects, (one) => one.reason)) {
      metrics.rejected(reason, rejects.length);
      for (const [probeId, own] of Map.groupBy(rejects, (one) => one.probeId)) {
        if (probeId !== null) metrics.rejectedOf(probeId, reason, own.length);
      }
    }
  }

  return { handle };
}

/** In rows: a refused batch is one too. */
function sizeOf(batch: VerifiedBatch): number {
  return Math.max(1, batch.results.length + batch.rejects.length);
}

/** A partition's batches are stored in its order; without a log, a probe's in its own. */
function laneOf({ incoming, claim }: VerifiedBatch): number | string {
  return incoming.position?.partition ?? claim?.probeId ?? incoming.headers.kid;
}
