import type { Gap, SealedBatch } from '../../shared/batch.ts';
import { mergeGaps } from './gaps.ts';
import type { SegmentFacts } from './recover.ts';
import { readMeta, readSealed, type SealedMeta, sealedRecord } from './sealed-record.ts';
import type { Segment, SegmentLog } from './segment-log.ts';

export interface StoredBatch {
  readonly meta: SealedMeta;
  readonly batch: SealedBatch;
}

/** Sealed batches on disk until the hub has them, with the newest also in memory. */
export interface SealedStore {
  append(meta: SealedMeta, value: Uint8Array): Promise<void>;
  /** Null where it is there no more, or not readable. */
  read(seq: number): Promise<StoredBatch | null>;
  /** Numbers that may be here, lowest first: of every segment all from its first to its last. */
  numbers(): readonly number[];
  /** What the hub has is kept in memory no longer; on disk it stays as long as its segment. */
  letGo(durable: number): void;
  /** Segments whose batches are all at or below this number, but for the one being written. */
  behind(durable: number): readonly Segment[];
  oldest(): { readonly segment: Segment; readonly newestAt: number } | null;
  /** What removing a segment loses, and what its batches said was lost before them. */
  lossOf(
    segment: Segment,
    counts: (seq: number) => boolean,
  ): Promise<{ lost: Gap | null; carried: readonly Gap[] }>;
  remove(segment: Segment): Promise<void>;
}

/** Bounds how late the age limit can act, where little is sealed. */
const maxSegmentAgeUs = 3600 * 1_000_000;
const maxRecentBytes = 4 * 1024 * 1024;
/** Segments whose content is kept once read: a backlog is read batch by batch. */
const maxOpened = 2;

export function createSealedStore(
  log: SegmentLog,
  stream: string,
  recovered: ReadonlyMap<Segment, SegmentFacts>,
): SealedStore {
  const facts = new Map(recovered);
  const recent = new Map<number, StoredBatch>();
  let recentBytes = 0;
  let opened: { readonly segment: Segment; readonly batches: ReadonlyMap<number, StoredBatch> }[] = [];
  let active: Segment | null = null;
  let activeSince = 0;

  function remember(stored: StoredBatch): void {
    recent.set(stored.meta.seq, stored);
    recentBytes += stored.batch.value.length;
    for (const [seq, { batch }] of recent) {
      if (recentBytes <= maxRecentBytes) break;
      recent.delete(seq);
      recentBytes -= batch.value.length;
    }
  }

  async function openSegment(segment: Segment): Promise<ReadonlyMap<number, StoredBatch>> {
    const batches = new Map<number, StoredBatch>();
    for (const record of (await log.read(segment)).records) {
      const stored = readSealed(record, stream);
      if (stored) batches.set(stored.meta.seq, stored);
    }
    opened = [{ segment, batches }, ...opened.filter((other) => other.segment !== segment)].slice(
      0,
      maxOpened,
    );
    return batches;
  }

  return {
    async append(meta, value) {
      if (active && meta.sealedAt - activeSince > maxSegmentAgeUs) await log.rotate();
      const record = sealedRecord(meta, value);
      const segment = await log.append([record]);
      if (segment !== active) {
        active = segment;
        activeSince = meta.sealedAt;
      }
      const { seq, sealedAt } = meta;
      const known = facts.get(segment);
      if (known) Object.assign(known, { lastSeq: seq, newestAt: Math.max(known.newestAt, sealedAt) });
      else facts.set(segment, { firstSeq: seq, lastSeq: seq, newestAt: sealedAt });
      const stored = readSealed(record, stream);
      if (stored) remember(stored);
    },
    async read(seq) {
      const inMemory = recent.get(seq);
      if (inMemory) return inMemory;
      for (const [segment, { firstSeq, lastSeq }] of facts) {
        if (seq < firstSeq || seq > lastSeq) continue;
        const known = opened.find((each) => each.segment === segment)?.batches.get(seq);
        return known ?? (await openSegment(segment)).get(seq) ?? null;
      }
      return null;
    },
    numbers: () =>
      [...facts.values()].flatMap(({ firstSeq, lastSeq }) =>
        Array.from({ length: lastSeq - firstSeq + 1 }, (_, index) => firstSeq + index),
      ),
    letGo(durable) {
      for (const [seq, { batch }] of recent) {
        if (seq > durable) continue;
        recent.delete(seq);
        recentBytes -= batch.value.length;
      }
    },
    behind: (durable) =>
      [...facts]
        .filter(([segment, { lastSeq }]) => lastSeq <= durable && segment !== active)
        .map(([each]) => each),
    oldest() {
      const [first] = facts;
      return first ? { segment: first[0], newestAt: first[1].newestAt } : null;
    },
    async lossOf(segment, counts) {
      const metas = (await log.read(segment)).records.map(readMeta).filter((meta) => meta !== null);
      const lost = metas.filter(({ seq }) => counts(seq));
      return { lost: gapOver(lost), carried: mergeGaps(lost.flatMap(({ gaps }) => gaps)) };
    },
    async remove(segment) {
      const known = facts.get(segment);
      await log.remove(segment);
      facts.delete(segment);
      if (segment === active) active = null;
      opened = opened.filter((each) => each.segment !== segment);
      for (const [seq, { batch }] of recent) {
        if (!known || seq < known.firstSeq || seq > known.lastSeq) continue;
        recent.delete(seq);
        recentBytes -= batch.value.length;
      }
    },
  };
}

function gapOver(metas: readonly SealedMeta[]): Gap | null {
  const [first] = metas;
  const last = metas.at(-1);
  if (!first || !last) return null;
  const timed = metas.filter(({ results }) => results > 0);
  const from = Math.min(...(timed.length > 0 ? timed.map((meta) => meta.fromScheduledAt) : [first.sealedAt]));
  const to = Math.max(...(timed.length > 0 ? timed.map((meta) => meta.toScheduledAt) : [last.sealedAt]));
  return {
    fromSeq: first.seq,
    toSeq: last.seq,
    results: metas.reduce((sum, { results }) => sum + results, 0),
    fromScheduledAt: from,
    toScheduledAt: to,
    reason: '',
  };
}
