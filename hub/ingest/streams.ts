/** First and last of a run of sequence numbers, both included. */
export type SeqRange = readonly [from: number, to: number];

/** What the hub has of one spool's sequence: all up to `upTo`, and `ranges` above it, sorted, apart, none touching. */
export interface StreamState {
  readonly upTo: number;
  readonly ranges: readonly SeqRange[];
}

export const emptyStream: StreamState = { upTo: 0, ranges: [] };

/** Most ranges kept above the prefix: what bounds a stream's row whatever a probe sends. */
export const maxStreamRanges = 64;

/** Whether a batch with this number is already there: stored, rejected or in a gap record. */
export function hasSeq(state: StreamState, seq: number): boolean {
  return seq <= state.upTo || state.ranges.some(([from, to]) => seq >= from && seq <= to);
}

/**
 * The stream with these numbers received, or null where that would take a 65th range. Such a batch is not taken: it
 * is neither stored nor marked, so it is not durable and its probe, which still has it, sends it again. Storing it
 * unmarked would turn the repetition into false duplicates, marking it in more ranges would let a probe grow the row
 * without end. It cannot starve: the batch after the prefix always fits, and each one that fills the lowest hole makes
 * room, so a probe that sends in order gets everything in.
 */
export function addToStream(state: StreamState, added: readonly SeqRange[]): StreamState | null {
  const all = [...state.ranges, ...added].sort((a, b) => a[0] - b[0]);
  let upTo = state.upTo;
  const ranges: [number, number][] = [];
  for (const [from, to] of all) {
    const last = ranges.at(-1);
    if (from <= upTo + 1) upTo = Math.max(upTo, to);
    else if (last && from <= last[1] + 1) last[1] = Math.max(last[1], to);
    else ranges.push([from, to]);
  }
  return ranges.length > maxStreamRanges ? null : { upTo, ranges };
}

/** As PostgreSQL writes an int8multirange: `{[3,5),[7,8)}`, upper bounds excluded. */
export function rangesToText(ranges: readonly SeqRange[]): string {
  return `{${ranges.map(([from, to]) => `[${from},${to + 1})`).join(',')}}`;
}

export function rangesFromText(text: string): SeqRange[] {
  return [...text.matchAll(/\[(\d+),(\d+)\)/g)].map(([, from, end]) => [Number(from), Number(end) - 1]);
}
