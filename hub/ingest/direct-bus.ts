import { setTimeout as wait } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { BatchHandler, Bus, IncomingBatch } from './bus.ts';
import { busUnavailable } from './bus-unavailable.ts';
import { createFairQueue } from './fair-queue.ts';

export interface DirectBusOptions {
  readonly log: Pick<Logger, 'warn' | 'info'>;
  /** What may wait here, in bytes of batches and in batches. */
  readonly maxBytes?: number;
  readonly maxBatches?: number;
  /** So many are with ingest at once, decoded: what gathers into transactions. */
  readonly window?: number;
  /** First and longest pause while the database is away. */
  readonly retryMs?: readonly [first: number, longest: number];
  /** How long stop() waits for what is in hand. */
  readonly drainMs?: number;
}

/** The bus of a hub without Kafka: a bounded queue in memory. What a crash loses of it, its probes send again. */
export function createDirectBus(options: DirectBusOptions): Bus {
  const { log, maxBytes = 32 * 1024 * 1024, maxBatches = 2000, window = 32, drainMs = 10_000 } = options;
  const [firstRetryMs, longestRetryMs] = options.retryMs ?? [250, 5000];
  /** By key: a probe that sends a thousand batches keeps the one of another waiting for one. */
  const queue = createFairQueue<IncomingBatch>(({ value }) => value.length);
  const aborted = new AbortController();
  let handler: BatchHandler | null = null;
  let stopped = false;
  let bytes = 0;
  let inFlight = 0;
  let awayWhy: string | null = null;
  let retryMs = firstRetryMs;
  let timer: NodeJS.Timeout | undefined;
  let drained: (() => void) | null = null;

  function pump(): void {
    // While the database is away one batch is enough to find out that it is back.
    const most = awayWhy === null ? window : 1;
    while (handler && timer === undefined && inFlight < most && !aborted.signal.aborted) {
      const batch = queue.shift();
      if (!batch) break;
      void handOver(handler, batch);
    }
    if (inFlight === 0 && queue.length === 0) drained?.();
  }

  async function handOver(handle: BatchHandler, batch: IncomingBatch): Promise<void> {
    inFlight += 1;
    try {
      await handle([batch], aborted.signal);
      bytes -= batch.value.length;
      if (awayWhy !== null) log.info({ waiting: queue.length }, 'results are stored again');
      awayWhy = null;
      retryMs = firstRetryMs;
    } catch (error) {
      queue.putBack(batch.headers.kid, batch);
      pauseFor(error);
    }
    inFlight -= 1;
    pump();
  }

  function pauseFor(error: unknown): void {
    if (awayWhy === null) log.warn({ err: error }, 'results cannot be stored: waiting, and taking no more');
    awayWhy = error instanceof Error ? error.message : String(error);
    if (timer !== undefined || aborted.signal.aborted) return;
    timer = setTimeout(() => {
      timer = undefined;
      pump();
    }, retryMs);
    retryMs = Math.min(retryMs * 2, longestRetryMs);
  }

  function refusal(): string | null {
    if (stopped) return 'the hub is stopping';
    if (!handler) return 'the hub is starting';
    if (awayWhy !== null) return awayWhy;
    return queue.length >= maxBatches || bytes >= maxBytes ? 'more results wait to be stored than fit' : null;
  }

  /** No probe takes more than a quarter of the room: what it sends too much waits with it. */
  function shareRefusal(kid: string): string | null {
    const { items, size } = queue.of(kid);
    return items >= maxBatches / 4 || size >= maxBytes / 4 ? 'too many results of this probe wait' : null;
  }

  return {
    async publish(batch) {
      const { kid } = batch.headers;
      const why = refusal() ?? shareRefusal(kid);
      if (why !== null) throw busUnavailable(why);
      queue.push(kid, { ...batch, position: null });
      bytes += batch.value.length;
      pump();
    },
    async start(handle) {
      handler = handle;
      pump();
    },
    status() {
      const reason = refusal();
      return { kind: 'direct', ready: reason === null, reason, lag: null };
    },
    async stop() {
      const empty = new Promise<void>((resolve) => {
        drained = resolve;
      });
      const late = wait(drainMs, undefined, { ref: false });
      stopped = true;
      pump();
      await Promise.race([empty, late]);
      aborted.abort(new Error('the hub is stopping'));
      clearTimeout(timer);
      if (queue.length > 0) log.warn({ batches: queue.length }, 'not stored: their probes send them again');
    },
  };
}
