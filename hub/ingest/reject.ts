import type { LogPosition } from './bus.ts';

/** Why a batch or a result was refused: stable words, for the table, the metrics and the page. */
export const rejectReasons = [
  // Not even looked at: it is not received, and sent again. See guard.ts.
  'put_off',
  // The speaker is not proven: nothing is decoded, no stream moves.
  'headers',
  'unknown_probe',
  'bad_signature',
  // Signed, yet not readable: its number in the stream is not known.
  'schema_unknown',
  'too_large',
  'inflate',
  'decode',
  // The whole batch, by a proven probe: counts as received.
  'probe_revoked',
  'probe_pending',
  'probe_mismatch',
  'region_mismatch',
  'seq_range',
  'gap_invalid',
  'stream_foreign',
  'seq_reused',
  'streams_exhausted',
  'poison',
  // One result of an otherwise good batch.
  'endpoint_unknown',
  'endpoint_not_in_region',
  'future',
  'too_late',
  'no_partition',
  'result_invalid',
  'duplicate_slot',
] as const;
export type RejectReason = (typeof rejectReasons)[number];

export interface Reject {
  readonly reason: RejectReason;
  readonly detail: string;
  readonly kid: string | null;
  readonly probeId: number | null;
  readonly stream: string | null;
  readonly seq: number | null;
  readonly position: LogPosition | null;
  /** Only made for those that are kept whole. */
  readonly content: () => Uint8Array;
}
