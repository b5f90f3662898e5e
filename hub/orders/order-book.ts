import type { Logger } from 'pino';
import type { EncodedAssignment } from '../../shared/assignment.ts';
import type { Order } from '../../shared/order.ts';
import type { Changes } from '../store/changes.ts';
import type { Database } from '../store/database.ts';
import { listOpenOrders } from '../store/list-open-orders.ts';
import type { SecretBox } from '../trust/sealed-secrets.ts';

/** The orders that wait for the probes that ask here, whichever replica took them. */
export interface OrderBook {
  waiting(probeId: number): number;
  /** Those for the lease that is given now: each is given once by a replica. */
  take(probeId: number): Order[];
  /** Called when there is something new for these regions. */
  subscribe(listener: (regionIds: readonly number[]) => void): () => void;
  /** Resolves when the look under way has ended. */
  stop(): Promise<void>;
}

export interface OrderBookOptions {
  readonly db: Database;
  readonly changes: Changes;
  readonly box: SecretBox;
  readonly log: Pick<Logger, 'warn' | 'error'>;
}

const mostALease = 20;
const mostGiven = 10_000;

/** What an order is sealed for: no other probe, and no other order. */
export const placeOfOrder = (id: string, probeId: number) => JSON.stringify(['parallax/order', id, probeId]);

export function createOrderBook({ db, changes, box, log }: OrderBookOptions): OrderBook {
  const waiting = new Map<number, Order[]>();
  /** An order stays open until it is answered, and is in each look until then. */
  const given = new Set<string>();
  const listeners = new Set<(regionIds: readonly number[]) => void>();
  let looking: Promise<void> | null = null;
  let again = false;
  let stopped = false;

  function look(): void {
    if (looking) again = true;
    else if (!stopped) looking = lookUntilSeen().finally(() => (looking = null));
  }

  async function lookUntilSeen(): Promise<void> {
    try {
      do {
        again = false;
        await read();
      } while (again && !stopped);
    } catch (error) {
      if (!stopped) log.warn({ err: error }, 'orders could not be read');
    }
  }

  async function read(): Promise<void> {
    const regions = new Set<number>();
    const open = await listOpenOrders(db);
    waiting.clear();
    for (const { id, probeId, regionId, content, untilUs } of open) {
      if (given.has(`${id}/${probeId}`)) continue;
      const text = box.open(placeOfOrder(id, probeId), content);
      if (text === null) {
        log.error({ order: id, probe: probeId }, 'an order in the database was not written by this hub');
        given.add(`${id}/${probeId}`);
        continue;
      }
      const order = { id, assignment: JSON.parse(text) as EncodedAssignment, untilUs };
      waiting.set(probeId, [...(waiting.get(probeId) ?? []), order]);
      regions.add(regionId);
    }
    if (regions.size > 0) for (const listener of listeners) listener([...regions]);
  }

  const unsubscribe = changes.subscribe('orders', look);
  return {
    waiting: (probeId) => waiting.get(probeId)?.length ?? 0,
    take(probeId) {
      const all = waiting.get(probeId);
      if (!all) return [];
      const now = all.splice(0, mostALease);
      if (all.length === 0) waiting.delete(probeId);
      for (const { id } of now) given.add(`${id}/${probeId}`);
      while (given.size > mostGiven) given.delete(given.values().next().value ?? '');
      return now;
    },
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    async stop() {
      stopped = true;
      unsubscribe();
      await looking;
    },
  };
}
