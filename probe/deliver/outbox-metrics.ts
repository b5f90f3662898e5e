import { Counter, Gauge, Registry } from 'prom-client';
import type { WayName } from './ways.ts';

export interface OutboxMetrics {
  added(): void;
  tried(way: WayName, outcome: 'taken' | 'away' | 'refused'): void;
  lost(batches: number): void;
}

export interface OutboxFigures {
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
      name: `parallax_probe_${name}`,
      help,
      registers,
      collect() {
        this.set(figures()[key]);
      },
    });
  gauge('results_waiting', 'Results not yet sealed into a batch.', 'waiting');
  gauge('batches_open', 'Batches that are not handed over yet.', 'open');
  const added = new Counter({
    name: 'parallax_spool_results_total',
    help: 'Results acknowledged',
    registers,
  });
  const tried = new Counter({
    name: 'parallax_probe_batches_offered_total',
    help: 'Batches offered to Kafka or the relay, and what came of it.',
    labelNames: ['way', 'outcome'],
    registers,
  });
  const lost = new Counter({
    name: 'parallax_probe_batches_lost_total',
    help: 'Batches sent again because they were lost on the way.',
    registers,
  });
  return {
    added: () => added.inc(),
    tried: (way, outcome) => tried.inc({ way, outcome }),
    lost: (batches) => lost.inc(batches),
  };
}
