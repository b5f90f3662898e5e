import type { Durable, KafkaAccess } from '../../shared/lease.ts';
import type { Result } from '../../shared/result.ts';

/** Where results go: the spool on disk, and from there to the hub until the lease says that they are durable. */
export interface Outbox {
  /** Resolves when the result is acknowledged: in the spool, as safe as its fsync policy says. `urgent`: an outcome changed. */
  add(result: Result, urgent: boolean): Promise<void>;
  /** What each new lease says. */
  obey(terms: OutboxTerms): void;
  status(): OutboxStatus;
  /** Seals what waits, tries to deliver until `signal` aborts, syncs and closes. */
  stop(signal: AbortSignal): Promise<void>;
}

export interface OutboxTerms {
  readonly leaseVersion: number;
  /** The newest that this probe and the hub know; the oldest where the hub does not say. */
  readonly batchSchema?: number;
  readonly lingerMs: number;
  readonly durable: readonly Durable[];
  readonly kafka: KafkaAccess | null;
}

export interface OutboxStatus {
  readonly spoolBytes: number;
  /** Results dropped since the spool was made; each is in a signed gap record. */
  readonly dropped: number;
  /** The spools that still hold something, the current one first. */
  readonly streams: readonly { readonly stream: string; readonly lastSeq: number }[];
  readonly way: 'kafka' | 'relay' | null;
  /** Why nothing is delivered now, or null. */
  readonly trouble: string | null;
}
