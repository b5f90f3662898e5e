import { BatchError, type Gap, type OpenedBatch, openBatch } from '../../shared/batch.ts';
import type { Result } from '../../shared/result.ts';
import { verifyBytes } from '../../shared/signing.ts';
import type { RegisteredProbe, Registry } from '../trust/registry.ts';
import type { IncomingBatch } from './bus.ts';
import type { Reject, RejectReason } from './reject.ts';
import { resultFault } from './result-fault.ts';

/** A probe may be this far ahead of the log's clock. */
export const maxFutureUs = 60_000_000;
/** Beyond it a number does not come from a spool. */
const maxSeq = 2 ** 48;
const maxGaps = 500;

export interface VerifyLimits {
  /** Hub time, epoch microseconds. */
  readonly nowUs: number;
  /** Results scheduled before it are too late: their partition is gone, and none is made again. */
  readonly sealedUntilUs: number;
  /** Whether there is a partition for this instant. */
  readonly hasPartition: (scheduledAtUs: number) => boolean;
}

/** Which numbers of which stream a batch stands for: known only where its signature proved who spoke. */
export interface StreamClaim {
  readonly stream: string;
  readonly seq: number;
  readonly probeId: number;
  readonly gaps: readonly Gap[];
}

/** What is to be stored of a batch. */
export interface VerifiedBatch {
  readonly incoming: IncomingBatch;
  readonly claim: StreamClaim | null;
  /** The registry's, for all of them. */
  readonly regionId: number;
  readonly results: readonly Result[];
  readonly rejects: readonly Reject[];
  /** What this replica may only not know yet: worth one look at the newest before the verdict is final. */
  readonly doubt: 'registry' | 'partitions' | 'both' | null;
  /** What it takes in memory, about; as on the wire where it is not told. */
  readonly decodedBytes?: number;
  /** What is left of a batch that the database would not take. */
  readonly poison?: true;
  /** Verified a second time, as its partition was gone. */
  readonly again?: true;
}

/** Distrusts everything: who speaks is decided by the signature, where from by the registry. */
export function verifyBatch(
  incoming: IncomingBatch,
  registry: Registry,
  limits: VerifyLimits,
): VerifiedBatch {
  const { kid, sig, schema } = incoming.headers;
  if (kid === '' || schema === '') return refuse(incoming, 'headers', 'kid, sig or schema is missing');
  const probe = registry.probeByKid(kid);
  if (!probe) return refuse(incoming, 'unknown_probe', 'no probe has this key', { doubt: 'registry' });
  if (!verifyBytes(probe.publicKey, incoming.value, sig)) {
    return refuse(incoming, 'bad_signature', 'the signature does not fit the bytes', { probe });
  }
  let batch: OpenedBatch;
  try {
    batch = openBatch(incoming.value, schema);
  } catch (error) {
    if (!(error instanceof BatchError) || error.code === 'invalid') throw error;
    return refuse(incoming, error.code, error.message, { probe });
  }
  const fault = batchFault(batch, probe);
  if (fault) {
    // It may have been approved a moment ago, and what is refused is lost.
    const doubt = fault[0] === 'probe_pending' ? 'registry' : null;
    return refuse(incoming, fault[0], fault[1], { probe, batch, doubt });
  }
  return sift(incoming, batch, probe, registry, limits);
}

function batchFault(batch: OpenedBatch, probe: RegisteredProbe): [RejectReason, string] | null {
  if (probe.status !== 'active') {
    return [probe.status === 'revoked' ? 'probe_revoked' : 'probe_pending', `probe ${probe.id}`];
  }
  if (batch.probeId !== probe.id) return ['probe_mismatch', `says probe ${batch.probeId}`];
  if (batch.regionId !== probe.regionId) return ['region_mismatch', `says region ${batch.regionId}`];
  if (!isSeq(batch.seq)) return ['seq_range', `seq ${batch.seq}`];
  if (batch.gaps.length > maxGaps) return ['gap_invalid', `${batch.gaps.length} gap records`];
  const odd = batch.gaps.find((gap) => !isGap(gap));
  return odd ? ['gap_invalid', `a gap from ${odd.fromSeq} to ${odd.toSeq}`] : null;
}

function isSeq(seq: number): boolean {
  return Number.isSafeInteger(seq) && seq >= 1 && seq <= maxSeq;
}

function isGap(gap: Gap): boolean {
  const instants = [gap.fromScheduledAt, gap.toScheduledAt];
  return (
    isSeq(gap.fromSeq) &&
    isSeq(gap.toSeq) &&
    gap.fromSeq <= gap.toSeq &&
    gap.results >= 0 &&
    instants.every((instant) => Number.isSafeInteger(instant) && instant >= 0) &&
    Buffer.byteLength(gap.reason) <= 200 &&
    !gap.reason.includes('\0')
  );
}

/** Takes the good results out of a good batch; the others are refused one by one. */
function sift(
  incoming: IncomingBatch,
  batch: OpenedBatch,
  probe: RegisteredProbe,
  registry: Registry,
  limits: VerifyLimits,
): VerifiedBatch {
  const results: Result[] = [];
  const rejects: Reject[] = [];
  // The log's own clock judges the future: a consumer that catches up is not ahead of what it reads.
  const newestUs = (incoming.position ? incoming.position.appendedAt * 1000 : limits.nowUs) + maxFutureUs;
  const doubts = new Set<'registry' | 'partitions'>();
  const refuseOne = (reason: RejectReason, detail: string, content: unknown) =>
    rejects.push({
      ...whereOf(incoming),
      ...claimOf(batch, probe),
      reason,
      detail,
      content: () => Buffer.from(brief(content)),
    });
  for (const { why, wire } of batch.refused) refuseOne('result_invalid', why, wire);
  for (const result of batch.results) {
    const fault = resultFault(result, newestUs);
    const regions = registry.regionsOfEndpoint(result.endpointId);
    if (fault) refuseOne(fault.reason, fault.detail, result);
    else if (result.scheduledAt < limits.sealedUntilUs) {
      refuseOne('too_late', tooLate(result.scheduledAt, limits.sealedUntilUs), result);
    } else if (!limits.hasPartition(result.scheduledAt)) {
      doubts.add('partitions');
      refuseOne('no_partition', `scheduled at ${result.scheduledAt}`, result);
    } else if (!regions?.has(probe.regionId)) {
      doubts.add('registry');
      const reason = regions ? 'endpoint_not_in_region' : 'endpoint_unknown';
      refuseOne(reason, `endpoint ${result.endpointId}, region ${probe.regionId}`, result);
    } else results.push(result);
  }
  const claim = { ...claimOf(batch, probe), gaps: batch.gaps };
  const { inflatedBytes: decodedBytes } = batch;
  const [one = null] = doubts;
  const doubt = doubts.size > 1 ? 'both' : one;
  return { incoming, claim, regionId: probe.regionId, results, rejects, doubt, decodedBytes };
}

/** Its strings may have two megabytes, and a hundred such are kept an hour. */
function brief(content: unknown): string {
  return JSON.stringify(content, (_, value: unknown) =>
    typeof value === 'string' && value.length > 400 ? `${value.slice(0, 400)}…` : value,
  );
}

function tooLate(scheduledAtUs: number, sealedUntilUs: number): string {
  const [at, until] = [scheduledAtUs, sealedUntilUs].map((us) => new Date(us / 1000).toISOString());
  return `scheduled at ${at}, and what was due before ${until} is past retention and sealed`;
}

function refuse(
  incoming: IncomingBatch,
  reason: RejectReason,
  detail: string,
  known: { probe?: RegisteredProbe; batch?: OpenedBatch; doubt?: VerifiedBatch['doubt'] } = {},
): VerifiedBatch {
  const { probe, batch, doubt = null } = known;
  // A number out of range is not written down: the stream stays as it was.
  const claim =
    probe && batch && reason !== 'seq_range' ? { ...claimOf(batch, probe), gaps: [] as Gap[] } : null;
  const reject: Reject = {
    ...whereOf(incoming),
    probeId: probe?.id ?? null,
    stream: batch?.stream ?? null,
    seq: batch && isSeq(batch.seq) ? batch.seq : null,
    reason,
    detail,
    content: () => incoming.value,
  };
  return { incoming, claim, regionId: probe?.regionId ?? 0, results: [], rejects: [reject], doubt };
}

/** Neither verified nor opened, and not received: its probe has it still and sends it again. */
export function putOff(incoming: IncomingBatch, probeId: number, detail: string): VerifiedBatch {
  const reject: Reject = {
    ...whereOf(incoming),
    reason: 'put_off',
    detail,
    probeId,
    stream: null,
    seq: null,
    content: () => new Uint8Array(),
  };
  return { incoming, claim: null, regionId: 0, results: [], rejects: [reject], doubt: null };
}

/** A batch that cannot be stored, made one that is refused; its number counts as received. */
export function poisoned(batch: VerifiedBatch, detail: string): VerifiedBatch {
  const { incoming, claim } = batch;
  const { stream = null, seq = null, probeId = null } = claim ?? {};
  const content = () => incoming.value;
  const reject: Reject = { ...whereOf(incoming), reason: 'poison', detail, stream, seq, probeId, content };
  return { ...batch, claim: claim && { ...claim, gaps: [] }, results: [], rejects: [reject], poison: true };
}

function whereOf(incoming: IncomingBatch) {
  return { kid: incoming.headers.kid.slice(0, 64), position: incoming.position };
}

function claimOf(batch: OpenedBatch, probe: RegisteredProbe) {
  return { stream: batch.stream, seq: batch.seq, probeId: probe.id };
}
