import { Counter, Gauge, Registry } from 'prom-client';

/** What leases and shards say of themselves. */
export interface LeaseMetrics {
  /** One answer: what made it be given. */
  answered(reason: string): void;
  waiting(polls: number): void;
  moved(shards: number): void;
  held(held: boolean): void;
  /** Packed bytes of the shard documents in memory, and how many of them were made just now. */
  documents(bytes: number, made: number): void;
  /** Bytes of one assignment that went to a probe, as they were on the wire. */
  served(what: 'manifest' | 'shard', bytes: number): void;
}

export function createLeaseMetrics(registry: Registry = new Registry()): LeaseMetrics {
  const registers = [registry];
  const leases = new Counter({
    name: 'parallax_leases_total',
    help: 'Leases given, by what made the hub answer',
    labelNames: ['reason'],
    registers,
  });
  const waiting = new Gauge({
    name: 'parallax_lease_polls_waiting',
    help: 'Probes waiting for a lease now',
    registers,
  });
  const moves = new Counter({
    name: 'parallax_shard_moves_total',
    help: 'Shards given to a probe',
    registers,
  });
  const held = new Gauge({
    name: 'parallax_shards_held',
    help: '1 while no shard moves because the hub was away or heard nobody',
    registers,
  });
  const bytes = new Gauge({
    name: 'parallax_shard_documents_bytes',
    help: 'Packed bytes of the shard documents in memory',
    registers,
  });
  const made = new Counter({
    name: 'parallax_shard_documents_total',
    help: 'Shard documents made',
    registers,
  });
  const served = new Counter({
    name: 'parallax_assignment_bytes_total',
    help: 'Bytes of manifests and shards sent to probes',
    labelNames: ['what'],
    registers,
  });
  return {
    answered: (reason) => leases.inc({ reason }),
    waiting: (polls) => waiting.set(polls),
    moved: (shards) => moves.inc(shards),
    held: (isHeld) => held.set(isHeld ? 1 : 0),
    documents(total, justMade) {
      bytes.set(total);
      made.inc(justMade);
    },
    served: (what, size) => served.inc({ what }, size),
  };
}
