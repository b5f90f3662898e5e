import type { Logger } from 'pino';
import type { SealedBatch } from '../../shared/batch.ts';
import type { Result } from '../../shared/result.ts';
import type { SpoolIdentity } from './prepare-batch.ts';
import type { SeqRange } from './seq-ranges.ts';

export interface SpoolLimits {
  /** Bytes on disk; past it the oldest batches are dropped. */
  readonly maxBytes: number;
  /** Age of a batch; the hub takes no results older than its retention (7 days). */
  readonly maxAgeUs: number;
  /** Results in memory while the disk takes none. */
  readonly maxWaiting: number;
  /**
   * What is acknowledged is synced. One sync serves all that came in so many milliseconds: at 100 a disk does ten a
   * second, whatever the rate; 0 syncs as often as the disk can.
   */
  readonly syncMs: number;
}

export const defaultSpoolLimits: SpoolLimits = {
  maxBytes: 1024 ** 3,
  maxAgeUs: 6 * 86_400 * 1_000_000,
  maxWaiting: 20_000,
  syncMs: 100,
};

export interface SpoolOptions {
  /** The stream's own folder, which exists. */
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
  /** What is sealed from now on is written in it; what is sealed already stays as it is. The oldest without. */
  readonly batchSchema?: number;
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
  /**
   * The hub has lost what it had above this number. Gives what is still here of that, to be sent again; the rest was
   * deleted on the hub's own word, and a gap record says so, without which nothing after it could be durable.
   */
  lostAbove(upTo: number): Promise<readonly SeqRange[]>;
  /** Gives a batch up, whatever it holds. */
  drop(seq: number, reason: string): Promise<void>;
  status(): SpoolStatus;
  /** Seals what waits without delay. Resolves when it is sealed, or the disk refuses it. */
  sealNow(): Promise<void>;
  /** The results that are here and were not known to be durable when it was opened, batch by batch. */
  kept(): AsyncGenerator<readonly Result[]>;
  /** Seals what waits, syncs and closes; what a full disk keeps it from writing was not acknowledged. */
  close(): Promise<void>;
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
