import { type JournalEntry, journalRecord } from './journal-record.ts';
import type { Segment, SegmentLog } from './segment-log.ts';

/** Entries on disk from the moment they are acknowledged until a sealed batch holds them. */
export interface Journal {
  write(entries: readonly JournalEntry[]): Promise<void>;
  /** Every entry up to this one stands in a sealed batch. */
  coveredTo(n: number): Promise<void>;
}

/** Read again at each start: small, so that a start is quick. */
const rotateBytes = 1024 * 1024;

export function createJournal(log: SegmentLog, recovered: ReadonlyMap<Segment, number>): Journal {
  const lastIn = new Map(recovered);
  let active: Segment | null = null;
  return {
    async write(entries) {
      const last = entries.at(-1);
      if (!last) return;
      active = await log.append(entries.map(journalRecord));
      lastIn.set(active, last.n);
    },
    async coveredTo(n) {
      if (active && active.bytes > rotateBytes) {
        await log.rotate();
        active = null;
      }
      for (const [segment, last] of [...lastIn]) {
        if (last > n || segment === active) continue;
        await log.remove(segment);
        lastIn.delete(segment);
      }
    },
  };
}
