import type { Durable, LeaseRequest } from '../../shared/lease.ts';
import { createGather } from '../ingest/gather.ts';
import type { Database } from '../store/database.ts';
import { selectDurable } from '../store/select-durable.ts';
import { type Arrival, upsertPresence } from '../store/upsert-presence.ts';

/** What the database says to a probe that asks. */
export interface Arrived {
  /** Of the lease it will be given: newer than any before. */
  readonly version: number;
  readonly durable: readonly Durable[];
}

export interface Arrivals {
  /** Notes that the probe is there. Null for one that is not in the database any more; rejects while that is away. */
  arrive(probeId: number, request: LeaseRequest, signal: AbortSignal): Promise<Arrived | null>;
}

interface Unit {
  readonly arrival: Arrival;
  arrived: Arrived | null;
}

/** Ten thousand probes ask 1,250 times a second: those of a few milliseconds are one statement each. */
const gatherMs = 5;
const gatherMost = 500;
/** What a probe claims to have may push its own version, but not out of what a number holds. */
const highestVersion = 2 ** 52;

export function createArrivals(options: {
  readonly db: Database;
  /** Epoch microseconds. */
  readonly now: () => number;
  readonly leaseTtlSeconds: number;
}): Arrivals {
  const { db, now, leaseTtlSeconds } = options;
  const gather = createGather<Unit>({
    maxSize: gatherMost,
    maxMs: gatherMs,
    sizeOf: () => 1,
    async store(group) {
      // A probe that asks twice at once gets two versions: a statement may touch a row once.
      const rounds: Map<number, Unit>[] = [];
      for (const unit of group) {
        const { probeId } = unit.arrival;
        const free = rounds.find((round) => !round.has(probeId));
        if (free) free.set(probeId, unit);
        else rounds.push(new Map([[probeId, unit]]));
      }
      for (const round of rounds) await store(round);
      return new Map();
    },
  });

  async function store(round: ReadonlyMap<number, Unit>): Promise<void> {
    const arrivals = [...round.values()].map((unit) => unit.arrival);
    const asked = arrivals.flatMap(({ probeId, request }) =>
      request.streams.map(({ stream }) => ({ probeId, stream })),
    );
    const versions = await upsertPresence(db, arrivals);
    const durable = await selectDurable(db, asked);
    for (const [probeId, unit] of round) {
      const version = versions.get(probeId);
      if (version !== undefined) unit.arrived = { version, durable: durable.get(probeId) ?? [] };
    }
  }

  return {
    async arrive(probeId, request, signal) {
      const nowUs = now();
      const unit: Unit = {
        arrival: {
          probeId,
          request,
          seenUs: nowUs,
          leaseExpiresUs: nowUs + leaseTtlSeconds * 1_000_000,
          // Also where the hub's clock or its database was set back: what the probe has is older than what it gets.
          leastVersion: Math.min(highestVersion, Math.max(Math.floor(nowUs / 1000), request.have + 1)),
        },
        arrived: null,
      };
      await gather.add(unit, signal);
      return unit.arrived;
    },
  };
}
