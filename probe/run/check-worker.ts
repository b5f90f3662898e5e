import { isMainThread, type MessagePort, parentPort, Worker, workerData } from 'node:worker_threads';
import type { Assignment } from '../../shared/assignment.ts';
import type { EvidenceWish } from '../checks/check.ts';
import { type CheckerTerms, makeChecker } from './make-checker.ts';
import { type Measured, measured } from './measured.ts';
import { watchNoise } from './noise.ts';

/** To a thread that checks. An assignment travels once; after that its endpoint's id stands for it. */
export type ToWorker =
  | {
      readonly check: number;
      readonly endpointId: number;
      readonly assignment: Assignment | null;
      readonly wish: EvidenceWish | null;
    }
  | { readonly cut: number }
  | { readonly forget: true };

export type FromWorker =
  | { readonly ready: true }
  | { readonly done: number; readonly measured: Measured }
  | { readonly failed: number; readonly why: string }
  | { readonly noiseUs: number };

interface CheckWorkerData {
  readonly role: 'check';
  readonly terms: CheckerTerms;
}

const role = 'check';
const noiseEveryMs = 1000;

/** A thread of this very file: of the probe's bundle, where everything is one. */
export function startCheckWorker(terms: CheckerTerms): Worker {
  return new Worker(new URL(import.meta.url), {
    workerData: { role, terms } satisfies CheckWorkerData,
    // Unbounded, a saturated thread's young generation grows past 200 MB for no gain (measured).
    resourceLimits: { maxYoungGenerationSizeMb: 32 },
  });
}

async function runCheckWorker(port: MessagePort, terms: CheckerTerms): Promise<void> {
  const say = (message: FromWorker) => port.postMessage(message);
  const assignments = new Map<number, Assignment>();
  const running = new Map<number, AbortController>();
  const noise = watchNoise();
  setInterval(() => say({ noiseUs: noise.minuteUs() }), noiseEveryMs).unref();
  const checker = measured(await makeChecker(terms), noise);

  async function check(id: number, assignment: Assignment, wish: EvidenceWish | null): Promise<void> {
    const cut = new AbortController();
    running.set(id, cut);
    try {
      say({ done: id, measured: await checker.check(assignment, cut.signal, wish) });
    } catch (error) {
      say({ failed: id, why: error instanceof Error ? (error.stack ?? error.message) : String(error) });
    } finally {
      running.delete(id);
    }
  }

  port.on('message', (message: ToWorker) => {
    if ('cut' in message) {
      running.get(message.cut)?.abort();
      return;
    }
    if ('forget' in message) {
      assignments.clear();
      return;
    }
    const { endpointId, assignment, wish } = message;
    if (assignment) assignments.set(endpointId, assignment);
    const known = assignments.get(endpointId);
    if (known) void check(message.check, known, wish);
    else say({ failed: message.check, why: `endpoint ${endpointId} was never told to this thread` });
  });
  say({ ready: true });
}

const given = workerData as CheckWorkerData | null;
if (!isMainThread && parentPort && given?.role === role) void runCheckWorker(parentPort, given.terms);
