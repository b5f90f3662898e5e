import type { Gap } from '../../shared/batch.ts';
import type { Head } from './head-file.ts';
import { type JournalEntry, journalEntry } from './journal-record.ts';
import { readMeta, type SealedMeta } from './sealed-record.ts';
import type { Segment, SegmentLog } from './segment-log.ts';
import { createSeqRanges, type SeqRange } from './seq-ranges.ts';

/** Which batches a segment holds. */
export interface SegmentFacts {
  firstSeq: number;
  lastSeq: number;
  /** Epoch microseconds. */
  newestAt: number;
}

/** A stream as its folder tells it. */
export interface Recovered {
  readonly facts: ReadonlyMap<Segment, SegmentFacts>;
  /** Batches that can be read and are not known to be durable. */
  readonly present: readonly SeqRange[];
  /** Acknowledged and not yet sealed. */
  readonly pending: readonly JournalEntry[];
  /** The journal segments in which an entry not yet sealed may stand, with the last entry of each. */
  readonly journal: ReadonlyMap<Segment, number>;
  /** What is missing and must be said to be: to be sealed like any other entry. */
  readonly losses: readonly Omit<Gap, 'reason'>[];
  readonly lastSeq: number;
  readonly lastEntry: number;
  readonly durable: number;
  readonly dropped: number;
  /** The end of the sealed segments was cut off: a number above `lastSeq` may have been used and lost. */
  readonly torn: boolean;
}

interface Hole {
  readonly range: SeqRange;
  readonly results: number;
  readonly around: SealedMeta;
}

/** Reads both logs of a stream whole, one segment at a time, and cuts off torn ends. */
export async function recover(
  sealed: SegmentLog,
  journal: SegmentLog,
  head: Head | null,
): Promise<Recovered> {
  const batches = await recoverSealed(sealed, head?.durable ?? 0);
  const entries = await recoverJournal(journal, batches.coveredTo);
  const gapped = createSeqRanges();
  const pendingGaps = entries.pending.flatMap((entry) => ('gap' in entry ? [entry.gap] : []));
  for (const { fromSeq, toSeq } of [...batches.gaps, ...pendingGaps]) gapped.add(fromSeq, toSeq);
  const lastSeq = Math.max(batches.lastSeq, gapped.runs().at(-1)?.[1] ?? 0, batches.durable);

  const present = createSeqRanges(batches.present.runs());
  for (const [first, last] of gapped.runs()) present.remove(first, last);
  const losses = batches.holes.flatMap((hole) => stillMissing(hole, gapped.runs(), batches.durable));
  if (entries.missing > 0) {
    // Results that never had a number: one is given to their loss.
    losses.push({ fromSeq: 0, toSeq: 0, results: entries.missing, ...spanOf(entries.pending) });
  }
  return {
    facts: batches.facts,
    present: present.runs(),
    pending: entries.pending,
    journal: entries.segments,
    losses,
    lastSeq,
    lastEntry: Math.max(entries.last, batches.coveredTo),
    durable: batches.durable,
    dropped: Math.max(batches.dropped, head?.dropped ?? 0),
    torn: batches.torn,
  };
}

async function recoverSealed(log: SegmentLog, headDurable: number) {
  const facts = new Map<Segment, SegmentFacts>();
  const present = createSeqRanges();
  const gaps: Gap[] = [];
  const holes: Hole[] = [];
  let [durable, coveredTo, dropped, lastSeq] = [headDurable, 0, 0, 0];
  let torn = false;
  for (const segment of [...log.segments()]) {
    const scan = await log.read(segment);
    if (scan.torn) {
      torn = true;
      await log.repair(segment, scan);
    }
    for (const record of scan.records) {
      const meta = readMeta(record);
      if (!meta) continue;
      const { seq, sealedAt } = meta;
      const before = lastSeq === 0 ? headDurable : lastSeq;
      if (seq > before + 1) {
        const results =
          lastSeq === 0 ? 0 : Math.max(0, meta.coveredTo - coveredTo - meta.results - meta.gaps.length);
        holes.push({ range: [before + 1, seq - 1], results, around: meta });
      }
      present.add(seq);
      gaps.push(...meta.gaps);
      lastSeq = Math.max(lastSeq, seq);
      durable = Math.max(durable, meta.durable);
      coveredTo = Math.max(coveredTo, meta.coveredTo);
      dropped = Math.max(dropped, meta.dropped);
      const known = facts.get(segment);
      if (known) Object.assign(known, { lastSeq: seq, newestAt: Math.max(known.newestAt, sealedAt) });
      else facts.set(segment, { firstSeq: seq, lastSeq: seq, newestAt: sealedAt });
    }
    if (!facts.has(segment)) await log.remove(segment);
  }
  present.remove(1, durable);
  return { facts, present, gaps, holes, durable, coveredTo, dropped, lastSeq, torn };
}

async function recoverJournal(log: SegmentLog, coveredTo: number) {
  const segments = new Map<Segment, number>();
  const pending: JournalEntry[] = [];
  let last = coveredTo;
  let missing = 0;
  let spoilt = false;
  for (const segment of [...log.segments()]) {
    const scan = await log.read(segment);
    spoilt ||= scan.damaged > 0 || scan.torn;
    if (scan.torn) await log.repair(segment, scan);
    let lastHere = 0;
    for (const record of scan.records) {
      const entry = journalEntry(record);
      if (!entry) continue;
      lastHere = Math.max(lastHere, entry.n);
      if (entry.n <= last) continue;
      // What a full memory dropped leaves holes too, and has said so itself.
      if (spoilt) missing += entry.n - last - 1;
      last = entry.n;
      pending.push(entry);
    }
    if (lastHere <= coveredTo) await log.remove(segment);
    else segments.set(segment, lastHere);
  }
  return { segments, pending, last, missing };
}

function stillMissing(hole: Hole, gapped: readonly SeqRange[], durable: number): Omit<Gap, 'reason'>[] {
  const rest = createSeqRanges([hole.range]);
  rest.remove(1, durable);
  for (const [first, last] of gapped) rest.remove(first, last);
  const { fromScheduledAt, toScheduledAt, sealedAt } = hole.around;
  const [from, to] = hole.around.results > 0 ? [fromScheduledAt, toScheduledAt] : [sealedAt, sealedAt];
  return rest.runs().map(([fromSeq, toSeq], index) => ({
    fromSeq,
    toSeq,
    results: index === 0 ? hole.results : 0,
    fromScheduledAt: from,
    toScheduledAt: to,
  }));
}

function spanOf(entries: readonly JournalEntry[]): { fromScheduledAt: number; toScheduledAt: number } {
  let [from, to] = [Number.MAX_SAFE_INTEGER, 0];
  for (const entry of entries) {
    if (!('result' in entry)) continue;
    from = Math.min(from, entry.result.scheduledAt);
    to = Math.max(to, entry.result.scheduledAt);
  }
  return { fromScheduledAt: Math.min(from, to), toScheduledAt: to };
}
