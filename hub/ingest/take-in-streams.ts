import type { LockedStream } from '../store/lock-streams.ts';
import type { Reject, RejectReason } from './reject.ts';
import { addToStream, hasSeq, type SeqRange } from './streams.ts';
import type { StreamClaim, VerifiedBatch } from './verify.ts';

export interface Taken {
  /** To be stored: what was not there before. */
  readonly fresh: readonly VerifiedBatch[];
  /** The streams as they are when `fresh` is stored. */
  readonly streams: readonly LockedStream[];
  readonly rejects: readonly Reject[];
  readonly repeated: number;
  /** Of those that were repeated, deferred or refused under a number that was received already. */
  readonly idle: readonly StreamClaim[];
  /** Neither stored nor marked, so that their probes send them again: see addToStream. */
  readonly deferred: number;
}

/** The streams to lock, with the probe that would own each if it is new: the first to speak of it here. */
export function streamsOf(batches: readonly VerifiedBatch[]): Map<string, number> {
  const streams = new Map<string, number>();
  for (const { claim } of batches) {
    if (claim && !streams.has(claim.stream)) streams.set(claim.stream, claim.probeId);
  }
  return streams;
}

/**
 * Marks every batch in its stream, in order of arrival, and sorts out what is there already or is not its speaker's.
 * `differs` tells of a number that was received whether it was with another content than this.
 */
export function takeInStreams(
  batches: readonly VerifiedBatch[],
  locked: ReadonlyMap<string, LockedStream>,
  differs: (claim: StreamClaim, sig: Uint8Array) => boolean = () => false,
): Taken {
  const streams = new Map<string, LockedStream>();
  const fresh: VerifiedBatch[] = [];
  const rejects: Reject[] = [];
  const idle: StreamClaim[] = [];
  let repeated = 0;
  let deferred = 0;
  for (const batch of batches) {
    const { claim } = batch;
    if (!claim) {
      fresh.push(batch);
      rejects.push(...batch.rejects);
      continue;
    }
    const stream = streams.get(claim.stream) ?? locked.get(claim.stream);
    if (!stream) rejects.push(refused(batch, claim, 'streams_exhausted'));
    else if (stream.probeId !== claim.probeId) rejects.push(refused(batch, claim, 'stream_foreign'));
    else if (hasSeq(stream.state, claim.seq)) {
      idle.push(claim);
      if (differs(claim, batch.incoming.headers.sig) || differsAmong(fresh, batch, claim)) {
        rejects.push(refused(batch, claim, 'seq_reused'));
      } else repeated += 1;
    } else {
      const state = addToStream(stream.state, received(claim));
      if (state === null) {
        deferred += 1;
        idle.push(claim);
        continue;
      }
      streams.set(claim.stream, { ...stream, state });
      fresh.push(batch);
      rejects.push(...batch.rejects);
    }
  }
  return { fresh, streams: [...streams.values()], rejects, repeated, deferred, idle };
}

/** A second content that came at the same time as the first. */
function differsAmong(fresh: readonly VerifiedBatch[], batch: VerifiedBatch, claim: StreamClaim): boolean {
  const first = fresh.find(
    (one) => one.claim?.seq === claim.seq && one.claim.stream === claim.stream && one !== batch,
  );
  return first !== undefined && Buffer.compare(first.incoming.headers.sig, batch.incoming.headers.sig) !== 0;
}

function received(claim: StreamClaim): SeqRange[] {
  return [[claim.seq, claim.seq], ...claim.gaps.map((gap): SeqRange => [gap.fromSeq, gap.toSeq])];
}

function refused({ incoming }: VerifiedBatch, claim: StreamClaim, reason: RejectReason): Reject {
  const { stream, seq, probeId } = claim;
  const { position, headers } = incoming;
  const detail = why[reason] ?? reason;
  return { reason, detail, kid: headers.kid, probeId, stream, seq, position, content: () => incoming.value };
}

const why: Partial<Record<RejectReason, string>> = {
  stream_foreign: 'another probe uses this stream',
  streams_exhausted: 'the probe has too many streams',
  seq_reused: 'a batch with another signature was received under this number',
};
