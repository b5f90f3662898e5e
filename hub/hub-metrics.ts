import { Counter, collectDefaultMetrics, Gauge, Registry } from 'prom-client';
import type { Bus } from './ingest/bus.ts';
import type { Database } from './store/database.ts';

export function createHubRegistry(): Registry {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  return registry;
}

/** What is asked for when somebody looks: the pool and the bus. */
export function watchHub(registry: Registry, { db, bus }: { db: Database; bus: Pick<Bus, 'status'> }): void {
  const registers = [registry];
  new Gauge({
    name: 'parallax_database_connections',
    help: 'Connections of the pool, and callers waiting for one',
    labelNames: ['state'],
    registers,
    collect() {
      const { total, idle, waiting } = db.pool();
      this.set({ state: 'used' }, total - idle);
      this.set({ state: 'idle' }, idle);
      this.set({ state: 'waiting' }, waiting);
    },
  });
  new Gauge({
    name: 'parallax_bus_ready',
    help: '1 where results can be taken',
    labelNames: ['kind'],
    registers,
    collect() {
      const { kind, ready } = bus.status();
      this.set({ kind }, ready ? 1 : 0);
    },
  });
  if (bus.status().kind === 'direct') return;
  new Gauge({
    name: 'parallax_bus_lag_messages',
    help: 'Messages in the log that are not stored yet',
    registers,
    collect() {
      this.set(bus.status().lag ?? Number.NaN);
    },
  });
  new Gauge({
    name: 'parallax_bus_partition_lag_messages',
    help: "The same of each partition that is this replica's",
    labelNames: ['partition'],
    registers,
    collect() {
      this.reset();
      for (const { partition, lag } of bus.status().partitions ?? []) this.set({ partition }, lag);
    },
  });
  let told = 0;
  new Counter({
    name: 'parallax_bus_dropped_messages_total',
    help: 'Messages that the log dropped before they were read: its retention is too short; their probes send them again',
    registers,
    collect() {
      const { dropped = 0 } = bus.status();
      this.inc(dropped - told);
      told = dropped;
    },
  });
}
