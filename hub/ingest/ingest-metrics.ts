import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { RejectReason } from './reject.ts';

/** What ingest says of itself. */
export interface IngestMetrics {
  /** One committed transaction. */
  stored(batches: number, rows: number, seconds: number): void;
  rejected(reason: RejectReason, count: number): void;
  /** Of these, those of one probe. */
  rejectedOf(probeId: number, reason: RejectReason, count: number): void;
  /** Batches that were there already, and those left to be sent again because their stream has too many holes. */
  skipped(why: 'repeated' | 'too_many_holes', count: number): void;
  retried(): void;
  /** Streams with a hole that does not close, as of now. */
  holes(count: number): void;
}

/** A name each is a time series a reason for ever. */
const maxNamed = 50;

export function createIngestMetrics(registry: Registry = new Registry()): IngestMetrics {
  const registers = [registry];
  const rows = new Counter({ name: 'parallax_ingest_rows_total', help: 'Results stored', registers });
  const batches = new Counter({ name: 'parallax_ingest_batches_total', help: 'Batches stored', registers });
  const seconds = new Histogram({
    name: 'parallax_ingest_transaction_seconds',
    help: 'Time of one transaction, from its first statement to its commit',
    buckets: [0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5],
    registers,
  });
  const rejects = new Counter({
    name: 'parallax_ingest_rejects_total',
    help: 'Batches and results refused',
    labelNames: ['reason'],
    registers,
  });
  const rejectsOf = new Counter({
    name: 'parallax_ingest_probe_rejects_total',
    help: 'Batches and results refused, of the first 50 probes of which any were since the hub started; then `other`',
    labelNames: ['probe', 'reason'],
    registers,
  });
  const named = new Set<number>();
  const skipped = new Counter({
    name: 'parallax_ingest_skipped_total',
    help: 'Batches that were there already or are left to be sent again',
    labelNames: ['why'],
    registers,
  });
  const retries = new Counter({
    name: 'parallax_ingest_retries_total',
    help: 'Transactions tried again after trouble of the database',
    registers,
  });
  const newest = new Gauge({
    name: 'parallax_ingest_last_stored_timestamp_seconds',
    help: 'When the newest transaction committed',
    registers,
  });
  const holes = new Gauge({
    name: 'parallax_ingest_stream_holes',
    help: 'Streams of probes in which something is missing for ten minutes, though later batches came',
    registers,
  });
  return {
    stored(batchCount, rowCount, tookSeconds) {
      batches.inc(batchCount);
      rows.inc(rowCount);
      seconds.observe(tookSeconds);
      newest.setToCurrentTime();
    },
    rejected: (reason, count) => rejects.inc({ reason }, count),
    rejectedOf(probeId, reason, count) {
      if (named.size < maxNamed) named.add(probeId);
      rejectsOf.inc({ probe: named.has(probeId) ? String(probeId) : 'other', reason }, count);
    },
    skipped: (why, count) => skipped.inc({ why }, count),
    retried: () => retries.inc(),
    holes: (count) => holes.set(count),
  };
}
