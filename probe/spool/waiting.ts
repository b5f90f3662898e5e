import type { Gap } from '../../shared/batch.ts';
import type { Result } from '../../shared/result.ts';

/** A result or a gap on its way into a batch. */
export interface Waiting {
  readonly what: { readonly result: Result } | { readonly gap: Gap };
  /** Its number in the journal, from the first try to write it on. */
  n: number | null;
  journaled: boolean;
  /** Monotonic milliseconds. */
  readonly addedMs: number;
  readonly urgent: boolean;
  /** Tells whoever added it. */
  readonly settle: () => void;
}

/** Results that memory had no room for, before they had a number. */
export interface Dropped {
  results: number;
  fromScheduledAt: number;
  toScheduledAt: number;
}

/** First in, first sealed; holds so many and no more. */
export interface WaitingLine {
  push(waiting: Waiting): void;
  all(): readonly Waiting[];
  unwritten(): readonly Waiting[];
  /** Takes these many out, from the front. */
  shift(count: number): void;
  /** Takes one out, wherever it stands. */
  remove(waiting: Waiting): void;
  results(): number;
  /** What was dropped since this was last asked. */
  takeDropped(): Dropped | null;
}

export function createWaitingLine(maxResults: number): WaitingLine {
  let line: Waiting[] = [];
  let results = 0;
  let dropped: Dropped | null = null;

  function drop({ what, settle }: Waiting): void {
    if (!('result' in what)) return;
    const { scheduledAt } = what.result;
    dropped ??= { results: 0, fromScheduledAt: scheduledAt, toScheduledAt: scheduledAt };
    dropped.results += 1;
    dropped.fromScheduledAt = Math.min(dropped.fromScheduledAt, scheduledAt);
    dropped.toScheduledAt = Math.max(dropped.toScheduledAt, scheduledAt);
    settle();
  }

  /** The oldest that nobody was told is safe. A tenth at once: finding them costs a walk. */
  function makeRoom(): void {
    let excess = Math.max(1, Math.floor(maxResults / 10));
    line = line.filter((waiting) => {
      if (excess === 0 || waiting.journaled || !('result' in waiting.what)) return true;
      excess -= 1;
      results -= 1;
      drop(waiting);
      return false;
    });
  }

  return {
    push(waiting) {
      if ('result' in waiting.what) {
        if (results >= maxResults) makeRoom();
        if (results >= maxResults) {
          drop(waiting);
          return;
        }
        results += 1;
      }
      line.push(waiting);
    },
    all: () => line,
    unwritten: () => line.filter(({ journaled }) => !journaled),
    shift(count) {
      for (const { what } of line.splice(0, count)) if ('result' in what) results -= 1;
    },
    remove(waiting) {
      const index = line.indexOf(waiting);
      if (index < 0) return;
      line.splice(index, 1);
      if ('result' in waiting.what) results -= 1;
    },
    results: () => results,
    takeDropped() {
      const taken = dropped;
      dropped = null;
      return taken;
    },
  };
}
