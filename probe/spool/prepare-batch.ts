import type { KeyObject } from 'node:crypto';
import { type Gap, maxBatchResults } from '../../shared/batch.ts';
import type { Result } from '../../shared/result.ts';
import { signBytes } from '../../shared/signing.ts';
import { mergeGaps } from './gaps.ts';
import type { Ledger } from './ledger.ts';
import { encodeFitting } from './seal.ts';
import type { SealedMeta } from './sealed-record.ts';
import type { Waiting, WaitingLine } from './waiting.ts';

export interface SpoolIdentity {
  readonly probeId: number;
  readonly region: { readonly id: number };
  readonly key: KeyObject;
  readonly kid: string;
}

/** A batch with its number and signature, not yet on disk. */
export interface Prepared {
  readonly meta: SealedMeta;
  readonly value: Uint8Array;
  readonly taken: readonly Waiting[];
}

export interface Press {
  readonly stream: string;
  readonly identity: SpoolIdentity;
  readonly ledger: Ledger;
  readonly line: WaitingLine;
  readonly leaseVersion: number;
  /** Of the batch's own form. */
  readonly schema: number;
  /** Epoch microseconds. */
  readonly nowUs: number;
  /** Told of a result that fits in no batch; it is out of the line already. */
  readonly onUnfit: (result: Result, why: string) => void;
}

/** The hub takes at most 500. */
const maxGaps = 400;

/** Takes from the line what one batch holds, and a number for it. Null where nothing waits. */
export function prepareBatch(press: Press, mostResults = maxBatchResults): Prepared | null {
  const { stream, identity, ledger, line, leaseVersion, schema, nowUs } = press;
  const taken = takeFrom(line.all(), mostResults);
  const last = taken.at(-1);
  if (!last) return null;
  const results = taken.flatMap(({ what }) => ('result' in what ? [what.result] : []));
  const gaps = mergeGaps(taken.flatMap(({ what }) => ('gap' in what ? [what.gap] : [])));
  const { probeId, region, key, kid } = identity;
  const seq = ledger.lastSeq() + 1;
  const content = { probeId, regionId: region.id, stream, seq, leaseVersion, sealedAt: nowUs };
  const encoded = encodeFitting({ ...content, results, gaps }, schema);
  if (encoded.value === null) {
    giveUp(press, taken, encoded.why);
    return prepareBatch(press, mostResults);
  }
  if (encoded.taken < results.length) return prepareBatch(press, encoded.taken);
  for (const waiting of taken) waiting.n ??= ledger.takeEntry();
  line.shift(taken.length);
  ledger.takeSeq();
  const meta: SealedMeta = {
    seq,
    coveredTo: last.n ?? 0,
    results: results.length,
    ...spanOf(results),
    sealedAt: nowUs,
    gaps,
    durable: ledger.durable(),
    dropped: ledger.dropped(),
    kid,
    schema: String(schema),
    sig: signBytes(key, encoded.value).toString('base64url'),
  };
  return { meta, value: encoded.value, taken };
}

function takeFrom(line: readonly Waiting[], mostResults: number): Waiting[] {
  const taken: Waiting[] = [];
  let [results, gaps] = [0, 0];
  for (const waiting of line) {
    if ('gap' in waiting.what) gaps += 1;
    else results += 1;
    if (results > mostResults || gaps > maxGaps) break;
    taken.push(waiting);
  }
  return taken;
}

function giveUp({ line, onUnfit }: Press, taken: readonly Waiting[], why: string): void {
  const bad = taken.find(({ what }) => 'result' in what);
  if (!bad || !('result' in bad.what)) throw new Error(`gap records fit in no batch: ${why}`);
  line.remove(bad);
  bad.settle();
  onUnfit(bad.what.result, why);
}

function spanOf(results: readonly Result[]): Pick<Gap, 'fromScheduledAt' | 'toScheduledAt'> {
  if (results.length === 0) return { fromScheduledAt: 0, toScheduledAt: 0 };
  const instants = results.map(({ scheduledAt }) => scheduledAt);
  return { fromScheduledAt: Math.min(...instants), toScheduledAt: Math.max(...instants) };
}
