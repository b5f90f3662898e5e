import type { SealedBatch } from '../../shared/batch.ts';
import type { PartitionLag } from './places.ts';

/** A sealed batch on its way in, as the bus hands it over. Nothing in it is trusted yet. */
export interface IncomingBatch {
  readonly key: string | null;
  readonly value: Uint8Array;
  readonly headers: { readonly kid: string; readonly sig: Uint8Array; readonly schema: string };
  /** Where it stood in the log; null on the direct bus. */
  readonly position: LogPosition | null;
}

export interface LogPosition {
  readonly clusterId: string;
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  /** The log's own append time, epoch milliseconds. */
  readonly appendedAt: number;
}

/** Stores what it is given or throws; when it resolves, the rows and the progress are committed. */
export type BatchHandler = (batches: readonly IncomingBatch[], signal: AbortSignal) => Promise<void>;

/** How batches travel from the relay, or from probes, to ingest. Two implementations, one test suite. */
export interface Bus {
  /** Resolves when the batch is safely on the bus; rejects with Problem 503 when it cannot be taken now. */
  publish(batch: SealedBatch, signal: AbortSignal): Promise<void>;
  /** Starts handing batches over, until stopped. */
  start(handler: BatchHandler): Promise<void>;
  /** What /readyz and /metrics say. `lag` in messages, null where there is no log. */
  status(): BusStatus;
  /** Stops taking, finishes what is in hand. */
  stop(): Promise<void>;
}

export interface BusStatus {
  readonly kind: 'direct' | 'kafka';
  readonly ready: boolean;
  /** What is missing, for the person who can act, where not ready. */
  readonly reason: string | null;
  readonly lag: number | null;
  /** The partition that is furthest behind, where that is known. */
  readonly slowest?: PartitionLag | null;
  /** Messages that the log dropped before they were read, since the start. */
  readonly dropped?: number;
  /** Each partition that is this replica's; null where it has none, or reads none. */
  readonly partitions?: readonly PartitionLag[] | null;
}
