import type { Worker } from 'node:worker_threads';
import type { Logger } from 'pino';
import type { Assignment } from '../../shared/assignment.ts';
import { type FromWorker, startCheckWorker, type ToWorker } from './check-worker.ts';
import type { CheckerTerms } from './make-checker.ts';
import type { Measured, MeasuredChecker } from './measured.ts';

interface Pending {
  readonly done: (measured: Measured) => void;
  readonly failed: (error: Error) => void;
}

interface Lane {
  /** Null while it is dead. */
  worker: Worker | null;
  /** The assignments that its thread knows, by endpoint. */
  readonly told: Map<number, Assignment>;
  readonly pending: Map<number, Pending>;
  noiseUs: number;
  /** Looks since it last said anything. */
  silent: number;
}

/** A thread that died is started again, though not in a circle. */
const restartMs = 1000;
/** A thread tells its noise each second. One that says nothing over so many looks stands still, and is ended. */
const mostSilent = 6;
/** Endpoints come and go: past this a thread forgets them all, and is told again those that stay. */
const mostTold = 200_000;
const deadThread = 'the thread of this check has died';

/** For tests. */
export interface CheckWorkersSeams {
  readonly start?: (terms: CheckerTerms) => Worker;
  readonly lookEveryMs?: number;
}

/**
 * Checks on `count` threads, each with a checker of its own, so that a probe uses as many cores; an endpoint stays with
 * its thread. Scheduling and spooling stay here, out of the measured loops. Resolves when all are ready.
 */
export async function startCheckWorkers(
  count: number,
  terms: CheckerTerms,
  log: Logger,
  { start = startCheckWorker, lookEveryMs = 5000 }: CheckWorkersSeams = {},
): Promise<MeasuredChecker> {
  let closing = false;
  let lastId = 0;
  const lanes = Array.from({ length: count }, (): Lane => {
    const lane: Lane = { worker: null, told: new Map(), pending: new Map(), noiseUs: 0, silent: 0 };
    return lane;
  });
  await Promise.all(lanes.map(open));

  /** Resolves when it is ready, or has died trying: then the next one will be tried by itself. */
  function open(lane: Lane): Promise<void> {
    const { promise, resolve: settled } = Promise.withResolvers<void>();
    const worker = start(terms);
    lane.worker = worker;
    lane.told.clear();
    lane.silent = 0;
    worker.on('message', (message: FromWorker) => {
      lane.silent = 0;
      if ('ready' in message) settled();
      else if ('noiseUs' in message) lane.noiseUs = message.noiseUs;
      else if ('done' in message) settle(lane, message.done)?.done(message.measured);
      else settle(lane, message.failed)?.failed(new Error(message.why));
    });
    worker.on('error', (error) => log.error({ err: error }, 'a thread that checks has died'));
    worker.once('exit', () => {
      for (const { failed } of lane.pending.values()) failed(new Error(deadThread));
      lane.pending.clear();
      lane.worker = null;
      lane.noiseUs = 0;
      settled();
      if (!closing) setTimeout(() => closing || void open(lane), restartMs).unref();
    });
    return promise;
  }

  // In looks and not by the clock: a machine that slept gives its threads time to say something.
  const looking = setInterval(() => {
    for (const lane of lanes) {
      lane.silent += 1;
      if (!lane.worker || lane.silent < mostSilent) continue;
      lane.silent = 0;
      log.error({ checks: lane.pending.size }, 'a thread that checks stands still: it is started anew');
      void lane.worker.terminate();
    }
  }, lookEveryMs);
  looking.unref();

  function settle(lane: Lane, id: number): Pending | undefined {
    const pending = lane.pending.get(id);
    lane.pending.delete(id);
    return pending;
  }

  return {
    check(assignment, signal, wish = null) {
      const lane = lanes[assignment.id % count];
      if (!lane?.worker) return Promise.reject(new Error(deadThread));
      lastId += 1;
      const id = lastId;
      const send = (message: ToWorker) => lane.worker?.postMessage(message);
      return new Promise((done, failed) => {
        const cut = () => send({ cut: id });
        const pending: Pending = {
          done(measured) {
            signal.removeEventListener('abort', cut);
            done(measured);
          },
          failed,
        };
        lane.pending.set(id, pending);
        signal.addEventListener('abort', cut, { once: true });
        const isTold = lane.told.get(assignment.id) === assignment;
        if (!isTold && lane.told.size >= mostTold) {
          lane.told.clear();
          send({ forget: true });
        }
        if (!isTold) lane.told.set(assignment.id, assignment);
        send({ check: id, endpointId: assignment.id, assignment: isTold ? null : assignment, wish });
      });
    },
    noiseUs: () => Math.max(...lanes.map((lane) => lane.noiseUs)),
    async close() {
      closing = true;
      clearInterval(looking);
      await Promise.all(lanes.map(({ worker }) => worker?.terminate()));
    },
  };
}
