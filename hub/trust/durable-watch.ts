import type { Logger } from 'pino';
import type { Changes } from '../store/changes.ts';
import type { Database } from '../store/database.ts';
import { selectDurable } from '../store/select-durable.ts';
import type { LeaseDesk } from './lease-desk.ts';
import { durableGapMsFor } from './lease-poll.ts';

/** Tells those who wait how far their results have come: one query for all of them, not more often than they may hear. */
export function watchDurable(options: {
  readonly db: Database;
  readonly changes: Changes;
  readonly desk: Pick<LeaseDesk, 'streams' | 'durableMoved' | 'waiting'>;
  readonly log: Pick<Logger, 'warn'>;
}): { stop(): Promise<void> } {
  const { db, changes, desk, log } = options;
  let lastMs = Number.NEGATIVE_INFINITY;
  let timer: NodeJS.Timeout | undefined;
  let looking: Promise<void> = Promise.resolve();
  let broken = false;
  let stopped = false;

  function schedule(): void {
    if (timer || stopped) return;
    const dueMs = lastMs + durableGapMsFor(desk.waiting());
    timer = setTimeout(
      () => {
        // What moves from here on is another look's.
        timer = undefined;
        lastMs = performance.now();
        looking = looking.then(look);
      },
      Math.max(0, dueMs - performance.now()),
    );
  }

  async function look(): Promise<void> {
    const streams = desk.streams();
    if (streams.length === 0) return;
    try {
      desk.durableMoved(await selectDurable(db, streams));
      broken = false;
    } catch (error) {
      if (!broken) log.warn({ err: error }, 'what is durable cannot be read: leases tell what was known');
      broken = true;
    }
  }

  const unsubscribe = changes.subscribe('results', schedule);
  return {
    async stop() {
      stopped = true;
      unsubscribe();
      clearTimeout(timer);
      await looking;
    },
  };
}
