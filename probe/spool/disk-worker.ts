import type { Logger } from 'pino';
import { diskReason } from './disk-reason.ts';

/** The one writer of a folder: does what is due, one thing after another, and rests while the disk refuses. */
export interface DiskWorker {
  /** Something may have become due. */
  schedule(): void;
  /** Why the disk takes nothing, or null. */
  trouble(): string | null;
  /** Tries at once, also while it rests. Resolves when nothing more is due, or the disk refuses. */
  finish(): Promise<void>;
  /** Ends what is under way and does nothing more. */
  stop(): Promise<void>;
}

export interface DiskWorkerOptions {
  /** When there is something to do, monotonic milliseconds. */
  readonly dueMs: () => number;
  /** Does what is due; a rejection is the disk's refusal, and what was due still is. */
  readonly step: () => Promise<void>;
  readonly log: Logger;
}

const [firstRestMs, longestRestMs] = [500, 15_000];
/** Timers of Node hold no longer than 24 days. */
const mostTimerMs = 60_000;

export function createDiskWorker({ dueMs, step, log }: DiskWorkerOptions): DiskWorker {
  let timer: NodeJS.Timeout | undefined;
  let running: Promise<void> | null = null;
  let stopped = false;
  let trouble: string | null = null;
  let restMs = firstRestMs;
  let restUntilMs = 0;

  const nextMs = () => Math.max(dueMs(), restUntilMs);

  function schedule(): void {
    if (running || stopped) return;
    clearTimeout(timer);
    const waitMs = nextMs() - performance.now();
    if (waitMs <= 0) running = work();
    else timer = setTimeout(schedule, Math.min(Math.ceil(waitMs), mostTimerMs));
  }

  async function work(): Promise<void> {
    await null;
    try {
      while (!stopped && nextMs() <= performance.now()) {
        await step();
        healed();
      }
    } catch (error) {
      suffer(error);
    }
    running = null;
    schedule();
  }

  function healed(): void {
    if (trouble !== null) log.info('the spool takes results again');
    trouble = null;
    restMs = firstRestMs;
    restUntilMs = 0;
  }

  function suffer(error: unknown): void {
    const reason = diskReason(error);
    // Once, not at each try.
    if (trouble === null) log.error({ err: error }, `the spool cannot be written: ${reason}`);
    trouble = reason;
    restUntilMs = performance.now() + restMs;
    restMs = Math.min(restMs * 2, longestRestMs);
  }

  return {
    schedule,
    trouble: () => trouble,
    async finish() {
      restUntilMs = 0;
      schedule();
      do await running;
      while (running && trouble === null);
    },
    async stop() {
      stopped = true;
      clearTimeout(timer);
      await running;
    },
  };
}
