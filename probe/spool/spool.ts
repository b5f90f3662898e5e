import type { KeyObject } from 'node:crypto';
import type { Logger } from 'pino';
import { type Gap, maxBatchResults, type SealedBatch } from '../../shared/batch.ts';
import { currentBatchSchema } from '../../shared/batch-schema.ts';
import type { Result } from '../../shared/result.ts';
import { signBytes } from '../../shared/signing.ts';
import { diskReason } from './disk-reason.ts';
import { mergeGaps } from './gaps.ts';
import { type Head, readHead, writeHead } from './head-file.ts';
import { createJournal } from './journal.ts';
import { recover } from './recover.ts';
import { encodeFitting } from './seal.ts';
import type { SealedMeta } from './sealed-record.ts';
import { createSealedStore } from './sealed-store.ts';
import { openSegmentLog } from './segment-log.ts';
import { createSeqRanges, type SeqRange } from './seq-ranges.ts';
import { createWaitingLine, type Waiting } from './waiting.ts';

export interface SpoolLimits {
  /** Bytes on disk; past it the oldest batches are dropped. */
  readonly maxBytes: number;
  /** Age of a batch; the hub takes no results older than its retention (7 days). */
  readonly maxAgeUs: number;
  /** Results in memory while the disk takes none. */
  readonly maxWaiting: number;
  /** A result is acknowledged when it is synced: after so many milliseconds at most, together with what came meanwhile. */
  readonly syncMs: number;
}

export const defaultSpoolLimits: SpoolLimits = {
  maxBytes: 1024 ** 3,
  maxAgeUs: 6 * 86_400 * 1_000_000,
  maxWaiting: 20_000,
  syncMs: 100,
};

export interface SpoolIdentity {
  readonly probeId: number;
  readonly region: { readonly id: number };
  readonly key: KeyObject;
  readonly kid: string;
}

export interface SpoolOptions {
  /** The stream's own folder. */
  readonly dir: string;
  /** 32 lower-case hex digits. */
  readonly stream: string;
  readonly identity: SpoolIdentity;
  readonly limits: SpoolLimits;
  readonly log: Logger;
  /** Epoch microseconds, hub time. */
  readonly now: () => number;
  readonly onSealed: (seq: number) => void;
  readonly onDropped: (fromSeq: number, toSeq: number) => void;
}

export interface SpoolPace {
  readonly leaseVersion: number;
  readonly lingerMs: number;
  /** For a result that says that an outcome changed. */
  readonly urgentMs: number;
}

/** One stream: results go in, are acknowledged, and come out as sealed batches that stay until the hub has them. */
export interface Spool {
  readonly stream: string;
  /** Resolves when the result is on disk, or was given up (and counted in a gap record). Never rejects. */
  add(result: Result, urgent: boolean): Promise<void>;
  setPace(pace: SpoolPace): void;
  /** Batches that were there when it was opened. */
  found(): readonly SeqRange[];
  /** Null where the batch was dropped or cannot be read; that it is lost is said in a gap record. */
  read(seq: number): Promise<SealedBatch | null>;
  /** The hub has every number up to this one. */
  durableTo(upTo: number): void;
  /** Gives a batch up, whatever it holds. */
  drop(seq: number, reason: string): Promise<void>;
  status(): SpoolStatus;
  /** Seals what waits and syncs; on a disk that takes nothing it gives up what was not acknowledged. */
  close(): Promise<void>;
  /** Seals what waits without delay. Resolves when it is sealed, or the disk refuses it. */
  sealNow(): Promise<void>;
}

export interface SpoolStatus {
  readonly bytes: number;
  readonly lastSeq: number;
  readonly durable: number;
  /** Results, since the stream began. */
  readonly dropped: number;
  /** Results not yet in a batch. */
  readonly waiting: number;
  /** Why the disk takes nothing, or null. */
  readonly trouble: string | null;
}

interface Prepared {
  readonly meta: SealedMeta;
  readonly value: Uint8Array;
  readonly taken: readonly Waiting[];
}

const sealedSegmentBytes = 4 * 1024 * 1024;
/** Numbers are reserved in the head file in blocks, so that it is rarely written. */
const reserveSeqs = 256;
/** What a stream without a readable head may have used beyond what is found: more than any block. */
const unknownReserve = 2 ** 20;
const maxGapsABatch = 400;
const houseMs = 60_000;
const retryMs = { first: 500, most: 15_000 };

/** Opens a stream's folder, which must exist. Rejects with the disk's own error. */
export async function openSpool(options: SpoolOptions): Promise<Spool> {
  const { dir, stream, identity, limits, log, now, onSealed, onDropped } = options;
  const segmentBytes = Math.min(sealedSegmentBytes, Math.ceil(limits.maxBytes / 16));
  const sealedLog = await openSegmentLog({ dir, name: 'sealed', stream, maxSegmentBytes: segmentBytes });
  const journalLog = await openSegmentLog({ dir, name: 'journal', stream, maxSegmentBytes: segmentBytes });
  const readable = await readHead(dir);
  const was = await recover(sealedLog, journalLog, readable);
  const store = createSealedStore(sealedLog, stream, was.facts);
  const journal = createJournal(journalLog, was.journal);
  const line = createWaitingLine(limits.maxWaiting);
  const gapped = createSeqRanges();

  let { lastSeq, lastEntry, durable, dropped } = was;
  let head: Head = {
    ...(readable ?? { madeAt: now(), reservedTo: lastSeq + unknownReserve, closed: true }),
    probeId: identity.probeId,
    regionId: identity.region.id,
    kid: identity.kid,
    durable,
    dropped,
  };
  let pace: SpoolPace = { leaseVersion: 0, lingerMs: 1000, urgentMs: 100 };
  let prepared: Prepared | null = null;
  let unwrittenSinceMs: number | null = null;
  let urgentSinceMs: number | null = null;
  let durableMoved = durable > 0;
  let houseAtMs = 0;
  let closing = false;
  let closed = false;
  let trouble: string | null = null;
  let restUntilMs = 0;
  let restMs = retryMs.first;
  let timer: NodeJS.Timeout | undefined;
  let running: Promise<void> | null = null;
  const announced = new Set<unknown>();

  function push(what: Waiting['what'], urgent: boolean, settle: () => void, n: number | null = null): void {
    const addedMs = performance.now();
    line.push({ what, n, journaled: n !== null, addedMs, urgent, settle });
    if (n === null) unwrittenSinceMs ??= addedMs;
    if (urgent) urgentSinceMs ??= addedMs;
  }

  /** Puts a statement of loss in line. Numbers 0 stand for results that never had one: they get one now. */
  function pushGap(gap: Gap, carried = false): void {
    const numbered = gap.fromSeq > 0 ? gap : { ...gap, fromSeq: lastSeq + 1, toSeq: lastSeq + 1 };
    lastSeq = Math.max(lastSeq, numbered.toSeq);
    gapped.add(numbered.fromSeq, numbered.toSeq);
    if (!carried) dropped += numbered.results;
    push({ gap: numbered }, false, () => undefined);
  }

  function restore(): void {
    for (const entry of was.pending) {
      push(
        'result' in entry ? { result: entry.result } : { gap: entry.gap },
        false,
        () => undefined,
        entry.n,
      );
      if ('gap' in entry) gapped.add(entry.gap.fromSeq, entry.gap.toSeq);
    }
    if (was.losses.length > 0) {
      log.error(
        { stream, gaps: was.losses.length },
        'the spool is damaged: what is lost is said in gap records',
      );
    }
    for (const loss of was.losses) pushGap({ ...loss, reason: 'spool damaged' });
    if ((was.torn || readable === null) && head.reservedTo > lastSeq) {
      // A batch with one of these numbers may have been sent before its record was spoilt: none is used again.
      const at = now();
      const unused = { fromSeq: lastSeq + 1, toSeq: head.reservedTo, results: 0 };
      pushGap({ ...unused, fromScheduledAt: at, toScheduledAt: at, reason: 'numbers not used' });
    }
  }

  function sealDueMs(): number | null {
    if (prepared) return 0;
    const [first] = line.all();
    if (!first) return null;
    if (closing || line.results() >= maxBatchResults) return 0;
    const urgentAtMs = urgentSinceMs === null ? Number.POSITIVE_INFINITY : urgentSinceMs + pace.urgentMs;
    return Math.min(first.addedMs + pace.lingerMs, urgentAtMs);
  }

  function dueMs(): number {
    const flushAtMs = unwrittenSinceMs === null ? Number.POSITIVE_INFINITY : unwrittenSinceMs + limits.syncMs;
    const sealAtMs = sealDueMs() ?? Number.POSITIVE_INFINITY;
    const earliest = durableMoved ? 0 : Math.min(flushAtMs, sealAtMs, houseAtMs);
    return Math.max(earliest, restUntilMs);
  }

  function schedule(): void {
    if (running || closed) return;
    clearTimeout(timer);
    const waitMs = dueMs() - performance.now();
    if (waitMs <= 0) running = work();
    else timer = setTimeout(schedule, Math.min(Math.ceil(waitMs), houseMs));
  }

  /** One writer: nothing in this folder happens twice at once. */
  async function work(): Promise<void> {
    await null;
    try {
      while (!closed && dueMs() <= performance.now()) await step();
    } catch (error) {
      suffer(error);
    }
    running = null;
    schedule();
  }

  async function step(): Promise<void> {
    const nowMs = performance.now();
    const lost = line.takeDropped();
    if (lost) pushGap({ fromSeq: 0, toSeq: 0, ...lost, reason: 'disk full and memory full' });
    if ((sealDueMs() ?? Number.POSITIVE_INFINITY) <= nowMs) await seal();
    else if (unwrittenSinceMs !== null && unwrittenSinceMs + limits.syncMs <= nowMs) await flush();
    if (durableMoved) await forget();
    if (performance.now() >= houseAtMs) await keepLimits();
    if (trouble !== null) log.info({ stream, dropped }, 'the spool takes results again');
    trouble = null;
    restMs = retryMs.first;
    restUntilMs = 0;
  }

  function suffer(error: unknown): void {
    const reason = diskReason(error);
    if (trouble === null)
      log.error({ stream, err: error, waiting: line.results() }, `the spool cannot be written: ${reason}`);
    trouble = reason;
    restUntilMs = performance.now() + restMs;
    restMs = Math.min(restMs * 2, retryMs.most);
  }

  async function saveHead(over: Partial<Head>): Promise<void> {
    const next = { ...head, durable, dropped, ...over };
    await writeHead(dir, next);
    head = next;
  }

  async function flush(): Promise<void> {
    const unwritten = line.unwritten();
    await journal.write(unwritten.map(entryOf));
    for (const waiting of unwritten) {
      waiting.journaled = true;
      waiting.settle();
    }
    const rest = line.unwritten()[0];
    unwrittenSinceMs = rest ? rest.addedMs : null;
  }

  function entryOf(waiting: Waiting) {
    if (waiting.n === null) {
      lastEntry += 1;
      waiting.n = lastEntry;
    }
    return { n: waiting.n, ...waiting.what };
  }

  async function seal(): Promise<void> {
    prepared ??= prepare(maxBatchResults);
    if (!prepared) return;
    const { meta, value, taken } = prepared;
    if (meta.seq > head.reservedTo) await saveHead({ reservedTo: meta.seq + reserveSeqs });
    await store.append(meta, value);
    prepared = null;
    for (const { settle } of taken) settle();
    const rest = line.all();
    unwrittenSinceMs = rest.find(({ journaled }) => !journaled)?.addedMs ?? null;
    urgentSinceMs = rest.find(({ urgent }) => urgent)?.addedMs ?? null;
    onSealed(meta.seq);
    if (sealedLog.bytes() > limits.maxBytes) houseAtMs = 0;
    await journal.coveredTo(meta.coveredTo);
  }

  /**
   * The next batch with its number, signed. It is kept until it is on disk, whatever fails in between: the same
   * number is never tried with other content.
   */
  function prepare(mostResults: number): Prepared | null {
    const taken: Waiting[] = [];
    const results: Result[] = [];
    const gaps: Gap[] = [];
    for (const waiting of line.all()) {
      if (results.length === mostResults || gaps.length === maxGapsABatch) break;
      taken.push(waiting);
      if ('result' in waiting.what) results.push(waiting.what.result);
      else gaps.push(waiting.what.gap);
    }
    const last = taken.at(-1);
    if (!last) return null;
    const { probeId, region, key, kid } = identity;
    const seq = lastSeq + 1;
    const sealedAt = now();
    const merged = mergeGaps(gaps);
    const content = { probeId, regionId: region.id, stream, seq, leaseVersion: pace.leaseVersion, sealedAt };
    const encoded = encodeFitting({ ...content, results, gaps: merged });
    if (encoded.value === null) {
      giveUp(taken, results[0], encoded.why);
      return prepare(mostResults);
    }
    if (encoded.taken < results.length) return prepare(encoded.taken);
    for (const waiting of taken) entryOf(waiting);
    line.shift(taken.length);
    lastSeq = seq;
    const instants = results.map(({ scheduledAt }) => scheduledAt);
    const sig = signBytes(key, encoded.value).toString('base64url');
    const meta: SealedMeta = {
      seq,
      coveredTo: last.n ?? 0,
      results: results.length,
      fromScheduledAt: results.length > 0 ? Math.min(...instants) : 0,
      toScheduledAt: results.length > 0 ? Math.max(...instants) : 0,
      sealedAt,
      gaps: merged,
      durable,
      dropped,
      kid,
      schema: String(currentBatchSchema),
      sig,
    };
    return { meta, value: encoded.value, taken };
  }

  /** A result that no batch can hold: its loss is said like any other. */
  function giveUp(taken: readonly Waiting[], result: Result | undefined, why: string): void {
    log.error({ stream, endpointId: result?.endpointId, why }, 'a result fits in no batch: it is dropped');
    const bad = taken.find(({ what }) => 'result' in what && what.result === result);
    if (bad) line.remove(bad);
    bad?.settle();
    const at = Number.isSafeInteger(result?.scheduledAt) ? (result?.scheduledAt ?? 0) : now();
    const one = { fromSeq: 0, toSeq: 0, results: 1, fromScheduledAt: at, toScheduledAt: at };
    pushGap({ ...one, reason: 'result not encodable' });
  }

  async function forget(): Promise<void> {
    durableMoved = false;
    const behind = store.behind(durable);
    if (behind.length === 0) return;
    try {
      // First on disk that the hub has them: else their absence would read as damage.
      await saveHead({});
      for (const segment of behind) await store.remove(segment);
    } catch (error) {
      durableMoved = true;
      throw error;
    }
    gapped.remove(1, durable);
  }

  async function keepLimits(): Promise<void> {
    for (let oldest = store.oldest(); oldest !== null; oldest = store.oldest()) {
      const tooBig = sealedLog.bytes() + journalLog.bytes() > limits.maxBytes;
      const tooOld = oldest.newestAt < now() - limits.maxAgeUs;
      if (!tooBig && !tooOld) break;
      await shed(oldest.segment, tooBig ? 'spool full' : 'spool too old');
    }
    houseAtMs = performance.now() + houseMs;
  }

  async function shed(segment: Parameters<typeof store.remove>[0], reason: string): Promise<void> {
    if (!announced.has(segment)) {
      const { lost, carried } = await store.lossOf(segment, (seq) => seq > durable && !gapped.has(seq));
      for (const gap of carried) pushGap(gap, true);
      if (lost) pushGap({ ...lost, reason });
      if (lost) onDropped(lost.fromSeq, lost.toSeq);
      if (lost && lost.results > 0)
        log.warn({ stream, reason, dropped: lost.results }, 'the oldest results are dropped');
      announced.add(segment);
    }
    // The statement is on disk before what it stands for is gone.
    await flush();
    await store.remove(segment);
    announced.delete(segment);
  }

  restore();
  if (readable === null || readable.reservedTo < lastSeq)
    await saveHead({ reservedTo: Math.max(head.reservedTo, lastSeq) });
  schedule();

  const spool: Spool = {
    stream,
    add: (result, urgent) =>
      new Promise((resolve) => {
        push({ result }, urgent, resolve);
        schedule();
      }),
    setPace(next) {
      pace = next;
      schedule();
    },
    found: () => was.present,
    async read(seq) {
      if (seq <= durable || gapped.has(seq)) return null;
      const stored = await store.read(seq);
      if (stored) return stored.batch;
      if (seq > durable && !gapped.has(seq)) {
        const at = now();
        pushGap({
          fromSeq: seq,
          toSeq: seq,
          results: 0,
          fromScheduledAt: at,
          toScheduledAt: at,
          reason: 'spool damaged',
        });
        log.error({ stream, seq }, 'a batch on disk is damaged: that it is lost is said in a gap record');
        schedule();
      }
      return null;
    },
    durableTo(upTo) {
      if (upTo <= durable) return;
      durable = Math.min(upTo, lastSeq);
      durableMoved = true;
      schedule();
    },
    async drop(seq, reason) {
      const stored = await store.read(seq);
      if (!stored || seq <= durable || gapped.has(seq)) return;
      const { results, sealedAt, gaps, fromScheduledAt, toScheduledAt } = stored.meta;
      for (const gap of gaps) pushGap(gap, true);
      const span =
        results > 0
          ? { fromScheduledAt, toScheduledAt }
          : { fromScheduledAt: sealedAt, toScheduledAt: sealedAt };
      pushGap({ fromSeq: seq, toSeq: seq, results, ...span, reason });
      schedule();
    },
    status: () => ({
      bytes: sealedLog.bytes() + journalLog.bytes(),
      lastSeq,
      durable,
      dropped,
      waiting: line.results() + (prepared?.meta.results ?? 0),
      trouble,
    }),
    async sealNow() {
      closing = true;
      restUntilMs = 0;
      schedule();
      do await running;
      while (running && trouble === null);
      closing = false;
    },
    async close() {
      await spool.sealNow();
      closed = true;
      clearTimeout(timer);
      await running;
      await saveHead({}).catch(() => undefined);
      await Promise.all([sealedLog.close(), journalLog.close()]).catch(() => undefined);
    },
  };
  return spool;
}
