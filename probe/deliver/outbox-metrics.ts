import { Counter, Gauge, Registry } from 'prom-client';
import type { WayName } from './ways.ts';

export interface OutboxMetrics {
  added(): void;
  tried(way: WayName, outcome: 'taken' | 'away' | 'refused'): void;
  lost(batches: number): void;
}

export interface OutboxFigures {
  readonly bytes: number;
  readonly dropped: number;
  readonly waiting: number;
  readonly open: number;
}

/** What the outbox says of itself; `figures` is read when the metrics are. */
export function createOutboxMetrics(
  figures: () => OutboxFigures,
  registry: Registry = new Registry(),
): OutboxMetrics {
  const registers = [registry];
  const gauge = (name: string, help: string, key: keyof OutboxFigures) =>
    new Gauge({
      name,
      help,
      registers,
      collect() {
        this.set(figures()[key]);
      },
    });
  gauge('parallax_spool_bytes', 'Bytes of the spool on disk', 'bytes');
  gauge('parallax_spool_dropped_results', 'Results dropped since the spool was made', 'dropped');
  gauge('parallax_spool_waiting_results', 'Results not yet sealed into a batch', 'waiting');
  gauge('parallax_delivery_open_batches', 'Batches that are not handed over yet', 'open');
  const added = new Counter({
    name: 'parallax_spool_results_total',
    help: 'Results acknowledged',
    registers,
  });
  const tried = new Counter({
    name: 'parallax_delivery_batches_total',
    help: 'Batches offered, by the way they went and what came of it',
    labelNames: ['way', 'outcome'],
    registers,
  });
  const lost = new Counter({
    name: 'parallax_delivery_resent_batches_total',
    help: 'Batches sent again because they were lost on the way',
    registers,
  });
  return {
    added: () => added.inc(),
    tried: (way, outcome) => tried.inc({ way, outcome }),
    lost: (batches) => lost.inc(batches),
  };
}
