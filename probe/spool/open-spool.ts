import { type Batch, decodeBatch, type Gap, maxBatchResults, type SealedBatch } from '../../shared/batch.ts';
import { oldestBatchSchema } from '../../shared/batch-schema.ts';
import type { Result } from '../../shared/result.ts';
import { createDiskWorker } from './disk-worker.ts';
import { readHead } from './head-file.ts';
import { createJournal } from './journal.ts';
import { createLedger } from './ledger.ts';
import { type Prepared, prepareBatch } from './prepare-batch.ts';
import { recover } from './recover.ts';
import { createSealedStore } from './sealed-store.ts';
import { openSegmentLog, type Segment } from './segment-log.ts';
import { createSeqRanges } from './seq-ranges.ts';
import type { Spool, SpoolOptions, SpoolPace } from './spool.ts';
import { createWaitingLine, type Waiting } from './waiting.ts';

const mostSegmentBytes = 4 * 1024 * 1024;
/** What a stream without a readable head may have used beyond what is found: more than any block of its ledger. */
const unknownReserve = 2 ** 20;
const houseMs = 60_000;
const never = Number.POSITIVE_INFINITY;
const nobody = () => undefined;

/** Opens a stream's folder and repairs it. Rejects with the disk's own error. */
export async function openSpool(options: SpoolOptions): Promise<Spool> {
  const { dir, stream, identity, limits, now, onSealed, onDropped } = options;
  const log = options.log.child({ stream });
  const maxSegmentBytes = Math.min(mostSegmentBytes, Math.ceil(limits.maxBytes / 16));
  const sealedLog = await openSegmentLog({ dir, name: 'sealed', stream, maxSegmentBytes });
  const journalLog = await openSegmentLog({ dir, name: 'journal', stream, maxSegmentBytes });
  const head = await readHead(dir);
  const was = await recover(sealedLog, journalLog, head);
  const ledger = createLedger(dir, head ?? headless(options, was.lastSeq), was);
  const store = createSealedStore(sealedLog, stream, was.facts);
  const journal = createJournal(journalLog, was.journal);
  const line = createWaitingLine(limits.maxWaiting);
  const { gapped } = ledger;
  /** Segments about to go, their loss already in line. */
  const announced = new Set<Segment>();

  let pace: SpoolPace = { leaseVersion: 0, lingerMs: 1000, urgentMs: 100 };
  /** Kept until it is on disk, whatever fails in between: a number is never tried with other content. */
  let prepared: Prepared | null = null;
  let unwrittenSinceMs = never;
  let urgentSinceMs = never;
  let durableMoved = was.durable > 0;
  let houseAtMs = 0;
  let hurried = false;
  const worker = createDiskWorker({ dueMs, step, log });

  function push(what: Waiting['what'], urgent: boolean, settle: () => void, n: number | null = null): void {
    const addedMs = performance.now();
    line.push({ what, n, journaled: n !== null, addedMs, urgent, settle });
    if (n === null) unwrittenSinceMs = Math.min(unwrittenSinceMs, addedMs);
    if (urgent) urgentSinceMs = Math.min(urgentSinceMs, addedMs);
  }

  function pushGap(gap: Gap, carried = false): void {
    push({ gap: ledger.noteGap(gap, carried) }, false, nobody);
  }

  /** A loss without instants of its own is dated now. */
  function pushLoss(fromSeq: number, toSeq: number, results: number, reason: string, at = now()): void {
    pushGap({ fromSeq, toSeq, results, fromScheduledAt: at, toScheduledAt: at, reason });
  }

  function restore(): void {
    for (const entry of was.pending) {
      if ('gap' in entry) gapped.add(entry.gap.fromSeq, entry.gap.toSeq);
      push('result' in entry ? { result: entry.result } : { gap: entry.gap }, false, nobody, entry.n);
    }
    const results = was.losses.reduce((sum, loss) => sum + loss.results, 0);
    if (was.losses.length > 0) log.error({ results }, 'the spool is damaged: gap records say what is lost');
    for (const loss of was.losses) pushGap({ ...loss, reason: 'spool damaged' });
    // A batch with one of these numbers may have been sent before its record was spoilt: none is used again.
    const spoilt = was.torn || head === null;
    if (spoilt && ledger.reservedTo() > ledger.lastSeq()) {
      pushLoss(ledger.lastSeq() + 1, ledger.reservedTo(), 0, 'numbers not used');
    }
  }

  function sealDueMs(): number {
    if (prepared) return 0;
    const [first] = line.all();
    if (!first) return never;
    if (hurried || line.results() >= maxBatchResults) return 0;
    return Math.min(first.addedMs + pace.lingerMs, urgentSinceMs + pace.urgentMs);
  }

  function dueMs(): number {
    if (durableMoved) return 0;
    return Math.min(unwrittenSinceMs + limits.syncMs, sealDueMs(), houseAtMs);
  }

  async function step(): Promise<void> {
    const lost = line.takeDropped();
    if (lost) pushGap({ fromSeq: 0, toSeq: 0, ...lost, reason: 'memory full' });
    // First, since it makes room on a full disk.
    if (durableMoved) await forget();
    const nowMs = performance.now();
    if (sealDueMs() <= nowMs) await seal();
    else if (unwrittenSinceMs + limits.syncMs <= nowMs) await flush();
    if (performance.now() >= houseAtMs) await keepLimits();
  }

  /** Acknowledges what waits in memory. */
  async function flush(): Promise<void> {
    const unwritten = line.unwritten();
    await journal.write(
      unwritten.map((waiting) => {
        waiting.n ??= ledger.takeEntry();
        return { n: waiting.n, ...waiting.what };
      }),
    );
    for (const waiting of unwritten) {
      waiting.journaled = true;
      waiting.settle();
    }
    lookAtLine();
  }

  async function seal(): Promise<void> {
    const { leaseVersion, batchSchema: schema = oldestBatchSchema } = pace;
    prepared ??= prepareBatch({
      stream,
      identity,
      ledger,
      line,
      leaseVersion,
      schema,
      nowUs: now(),
      onUnfit,
    });
    if (!prepared) return;
    const { meta, value, taken } = prepared;
    await ledger.reserve(meta.seq);
    await store.append(meta, value);
    prepared = null;
    for (const { settle } of taken) settle();
    lookAtLine();
    if (sealedLog.bytes() > limits.maxBytes) houseAtMs = 0;
    onSealed(meta.seq);
    await journal.coveredTo(meta.coveredTo);
  }

  function lookAtLine(): void {
    const all = line.all();
    unwrittenSinceMs = all.find(({ journaled }) => !journaled)?.addedMs ?? never;
    urgentSinceMs = all.find(({ urgent }) => urgent)?.addedMs ?? never;
  }

  function onUnfit({ endpointId, scheduledAt }: Result, why: string): void {
    log.error({ endpointId, why }, 'a result fits in no batch: it is dropped');
    const at = Number.isSafeInteger(scheduledAt) && scheduledAt >= 0 ? scheduledAt : now();
    pushLoss(0, 0, 1, 'result not encodable', at);
  }

  async function forget(): Promise<void> {
    const durable = ledger.durable();
    const behind = store.behind(durable);
    store.letGo(durable);
    // First on disk that the hub has them: else their absence would read as damage, of batches that held nothing. A
    // full disk has no room to say so, and room is what their removal makes.
    if (behind.length > 0) await ledger.save().catch(nobody);
    for (const segment of behind) await store.remove(segment);
    gapped.remove(0, durable);
    durableMoved = ledger.durable() > durable;
  }

  async function keepLimits(): Promise<void> {
    for (let oldest = store.oldest(); oldest !== null; oldest = store.oldest()) {
      const tooBig = sealedLog.bytes() + journalLog.bytes() > limits.maxBytes;
      if (!tooBig && oldest.newestAt >= now() - limits.maxAgeUs) break;
      await shed(oldest.segment, tooBig ? 'spool full' : 'spool too old');
    }
    houseAtMs = performance.now() + houseMs;
  }

  async function shed(segment: Segment, reason: string): Promise<void> {
    if (!announced.has(segment)) {
      const counts = (seq: number) => seq > ledger.durable() && !gapped.has(seq);
      const { lost, carried } = await store.lossOf(segment, counts);
      for (const gap of carried) pushGap(gap, true);
      if (lost) {
        pushGap({ ...lost, reason });
        onDropped(lost.fromSeq, lost.toSeq);
        log.warn({ reason, results: lost.results }, 'the oldest results are dropped');
      }
      announced.add(segment);
    }
    // The statement is on disk before what it stands for is gone.
    await flush();
    await store.remove(segment);
    announced.delete(segment);
  }

  restore();
  if (head === null) await ledger.save();
  worker.schedule();

  async function sealNow(): Promise<void> {
    hurried = true;
    await worker.finish();
    hurried = false;
  }

  return {
    stream,
    add: (result, urgent) =>
      new Promise((resolve) => {
        push({ result }, urgent, resolve);
        worker.schedule();
      }),
    setPace(next) {
      pace = next;
      worker.schedule();
    },
    found: () => was.present,
    async read(seq) {
      const wanted = () => seq > ledger.durable() && !gapped.has(seq);
      if (!wanted()) return null;
      const stored = await store.read(seq);
      if (stored) return stored.batch;
      if (wanted()) {
        log.error({ seq }, 'a batch on disk is damaged: a gap record says that it is lost');
        pushLoss(seq, seq, 0, 'spool damaged');
        worker.schedule();
      }
      return null;
    },
    durableTo(upTo) {
      if (!ledger.durableTo(upTo)) return;
      durableMoved = true;
      worker.schedule();
    },
    async lostAbove(upTo) {
      const was = ledger.durable();
      if (upTo >= was) return [];
      // First, so that no segment that still holds some of it is removed meanwhile.
      ledger.rewind(upTo);
      const gone = createSeqRanges([[upTo + 1, was]]);
      for (const [first, last] of gapped.runs()) gone.remove(first, last);
      const here = createSeqRanges();
      for (const seq of store.numbers()) {
        if (seq <= upTo || seq > was || gapped.has(seq) || !(await store.read(seq))) continue;
        here.add(seq);
        gone.remove(seq);
      }
      // How many results they held nobody here knows any more.
      for (const [first, last] of gone.runs())
        pushLoss(first, last, 0, 'deleted as durable, then lost by the hub');
      worker.schedule();
      return here.runs();
    },
    async drop(seq, reason) {
      const stored = await store.read(seq);
      if (!stored || seq <= ledger.durable() || gapped.has(seq)) return;
      const { results, sealedAt, gaps, ...meta } = stored.meta;
      const [from, to] = results > 0 ? [meta.fromScheduledAt, meta.toScheduledAt] : [sealedAt, sealedAt];
      for (const gap of gaps) pushGap(gap, true);
      pushGap({ fromSeq: seq, toSeq: seq, results, fromScheduledAt: from, toScheduledAt: to, reason });
      worker.schedule();
    },
    status: () => ({
      bytes: sealedLog.bytes() + journalLog.bytes(),
      lastSeq: ledger.lastSeq(),
      durable: ledger.durable(),
      dropped: ledger.dropped(),
      waiting: line.results() + (prepared?.meta.results ?? 0),
      trouble: worker.trouble(),
    }),
    sealNow,
    async *kept() {
      for (const seq of store.numbers()) {
        const stored = seq <= was.durable || gapped.has(seq) ? null : await store.read(seq);
        if (stored) yield contentOf(stored.batch).results;
      }
    },
    async close() {
      await sealNow();
      await worker.stop();
      await ledger.save().catch(nobody);
      await Promise.all([sealedLog.close(), journalLog.close()]).catch(nobody);
    },
  };
}

/** No number that such a stream may have used is used again, and no result is added to it. */
function headless({ identity, now }: SpoolOptions, lastSeq: number) {
  return {
    probeId: identity.probeId,
    regionId: identity.region.id,
    kid: identity.kid,
    madeAt: now(),
    reservedTo: lastSeq + unknownReserve,
    durable: 0,
    dropped: 0,
    closed: true,
  };
}

function contentOf({ value, headers }: SealedBatch): Batch {
  return decodeBatch(value, headers.schema);
}
