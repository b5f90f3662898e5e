import type { Gap } from '../../shared/batch.ts';
import { type Head, writeHead } from './head-file.ts';
import type { Recovered } from './recover.ts';
import { createSeqRanges, type SeqRanges } from './seq-ranges.ts';

/** The numbers of a stream: which are taken, durable or lost, and how far the head file has reserved them. */
export interface Ledger {
  lastSeq(): number;
  durable(): number;
  dropped(): number;
  /** What gap records stand for. */
  readonly gapped: SeqRanges;
  takeSeq(): number;
  takeEntry(): number;
  /** Numbers 0 stand for results that never had one: they get one. `carried`: its results are counted already. */
  noteGap(gap: Gap, carried: boolean): Gap;
  /** False where that is nothing new. */
  durableTo(upTo: number): boolean;
  /** The hub has lost all above it. */
  rewind(upTo: number): void;
  /** Resolves when the head file allows this number. */
  reserve(seq: number): Promise<void>;
  save(): Promise<void>;
  readonly reservedTo: () => number;
}

/** Reserved in blocks, so that the head file is rarely written. */
const block = 256;

export function createLedger(dir: string, firstHead: Head, was: Recovered): Ledger {
  const gapped = createSeqRanges();
  let head = firstHead;
  let { lastSeq, lastEntry, durable, dropped } = was;

  async function save(over: Partial<Head> = {}): Promise<void> {
    const next = { ...head, durable, dropped, ...over };
    await writeHead(dir, next);
    head = next;
  }

  return {
    lastSeq: () => lastSeq,
    durable: () => durable,
    dropped: () => dropped,
    reservedTo: () => head.reservedTo,
    gapped,
    takeSeq() {
      lastSeq += 1;
      return lastSeq;
    },
    takeEntry() {
      lastEntry += 1;
      return lastEntry;
    },
    noteGap(gap, carried) {
      const numbered = gap.fromSeq > 0 ? gap : { ...gap, fromSeq: lastSeq + 1, toSeq: lastSeq + 1 };
      lastSeq = Math.max(lastSeq, numbered.toSeq);
      gapped.add(numbered.fromSeq, numbered.toSeq);
      if (!carried) dropped += numbered.results;
      return numbered;
    },
    durableTo(upTo) {
      if (upTo <= durable) return false;
      durable = Math.min(upTo, lastSeq);
      return true;
    },
    rewind(upTo) {
      durable = Math.min(durable, upTo);
    },
    async reserve(seq) {
      if (seq > head.reservedTo) await save({ reservedTo: seq + block });
    },
    save,
  };
}
