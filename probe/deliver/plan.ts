import { createSeqRanges, type SeqRange } from '../spool/seq-ranges.ts';

/**
 * Which batches of one stream are to be sent, in which order. What was sealed while delivery works is live and goes
 * first; what piled up before is backlog and goes beside it, lowest first. The hub then sees two runs of numbers,
 * far from the 64 it keeps apart. Pure: clocks are parameters, in monotonic milliseconds.
 */
export interface DeliveryPlan {
  /** Batches found on disk at the start, none known to be durable. */
  found(runs: readonly SeqRange[]): void;
  sealed(seq: number): void;
  next(backlogToo: boolean): { readonly seq: number; readonly live: boolean } | null;
  sending(seq: number): void;
  /** Handed over: on its way to the hub. */
  sent(seq: number, nowMs: number): void;
  /** Not handed over: to be tried again. */
  failed(seq: number): void;
  /** Not to be tried again before this time. */
  park(seq: number, untilMs: number): void;
  /** Dropped from the spool. */
  gone(first: number, last: number): void;
  durable(upTo: number, nowMs: number): void;
  /** The hub has lost all above this number; of that, these are still here. */
  lostAbove(upTo: number, here: readonly SeqRange[]): void;
  /** Whether one of these numbers was given in this process and never sent: then it is not ours that the hub has. */
  neverSent(upTo: number): boolean;
  /** Puts back in line what was lost on the way and what was parked long enough. How many were lost. */
  again(nowMs: number): number;
  /** Batches to be sent or under way; parked ones are not among them. */
  open(): number;
}

/** A batch that is not durable so long after it was sent has been lost on the way. */
const lostAfterMs = 30_000;
const mostLostAfterMs = 600_000;
/** So many are sent again at first; twice as many each time it helped. */
const firstWindow = 32;
const mostWindow = 1024;
/** More live batches waiting than this are a backlog. */
const mostLive = 32;
/** Runs to be sent; past it the lowest two are joined and what lies between is sent once more. */
const mostRuns = 256;

export function createDeliveryPlan(): DeliveryPlan {
  const todo = createSeqRanges();
  /** Handed over, and not known to be durable. */
  const handedOver = createSeqRanges();
  const inFlight = new Set<number>();
  /** Of those sealed in this process. */
  const unsent = createSeqRanges();
  const parked = new Map<number, number>();
  let liveFrom = 1;
  let lastSeq = 0;
  let upTo = 0;
  let stalledSinceMs = 0;
  let lostMs = lostAfterMs;
  let window = firstWindow;
  let resent = false;

  function add(first: number, last = first): void {
    if (last <= upTo) return;
    todo.add(Math.max(first, upTo + 1), last);
    const [lowest, second] = todo.runs();
    if (todo.runs().length > mostRuns && lowest && second) todo.add(lowest[1], second[0]);
  }

  return {
    found(runs) {
      for (const [first, last] of runs) add(first, last);
      lastSeq = Math.max(lastSeq, runs.at(-1)?.[1] ?? 0);
      liveFrom = lastSeq + 1;
    },
    sealed(seq) {
      lastSeq = Math.max(lastSeq, seq);
      unsent.add(seq);
      add(seq);
      if (todo.countFrom(liveFrom) > mostLive) liveFrom = lastSeq + 1;
    },
    next(backlogToo) {
      const live = todo.firstFrom(liveFrom);
      if (live !== null) return { seq: live, live: true };
      const oldest = backlogToo ? todo.firstFrom(0) : null;
      return oldest === null ? null : { seq: oldest, live: false };
    },
    sending(seq) {
      todo.remove(seq);
      unsent.remove(seq);
      inFlight.add(seq);
    },
    sent(seq, nowMs) {
      if (!inFlight.delete(seq) || seq <= upTo) return;
      if (handedOver.firstFrom(0) === null) stalledSinceMs = nowMs;
      handedOver.add(seq);
    },
    failed(seq) {
      if (inFlight.delete(seq)) add(seq);
    },
    park(seq, untilMs) {
      inFlight.delete(seq);
      if (seq > upTo) parked.set(seq, untilMs);
    },
    gone(first, last) {
      todo.remove(first, last);
      unsent.remove(first, last);
      handedOver.remove(first, last);
      for (const seq of inFlight) if (seq >= first && seq <= last) inFlight.delete(seq);
      for (const seq of parked.keys()) if (seq >= first && seq <= last) parked.delete(seq);
    },
    durable(to, nowMs) {
      if (to <= upTo) return;
      upTo = to;
      stalledSinceMs = nowMs;
      lostMs = lostAfterMs;
      window = resent ? Math.min(window * 2, mostWindow) : firstWindow;
      resent = false;
      todo.remove(0, to);
      handedOver.remove(0, to);
      for (const seq of parked.keys()) if (seq <= to) parked.delete(seq);
    },
    lostAbove(to, here) {
      upTo = Math.min(upTo, to);
      for (const [first, last] of here) add(first, last);
    },
    neverSent(upTo) {
      const first = unsent.firstFrom(0);
      return first !== null && first <= upTo;
    },
    again(nowMs) {
      for (const [seq, untilMs] of parked) {
        if (untilMs > nowMs) continue;
        parked.delete(seq);
        add(seq);
      }
      const hole = handedOver.firstFrom(0);
      // While a lower one is still to be sent the hub cannot say that this one is durable.
      const lower = [todo.firstFrom(0) ?? hole, ...inFlight, ...parked.keys()];
      if (hole === null || lower.some((seq) => seq !== null && seq < hole)) return 0;
      if (nowMs - stalledSinceMs < lostMs) return 0;
      stalledSinceMs = nowMs;
      lostMs = Math.min(lostMs * 2, mostLostAfterMs);
      resent = true;
      let lost = 0;
      for (let seq: number | null = hole; seq !== null && lost < window; seq = handedOver.firstFrom(seq)) {
        handedOver.remove(seq);
        add(seq);
        lost += 1;
      }
      return lost;
    },
    open: () => todo.countFrom(0) + inFlight.size,
  };
}
