import { orderMs } from '../../shared/order.ts';
import type { HubContext } from '../context.ts';
import { listOrderAnswers, type OrderAnswerRow } from '../store/list-order-answers.ts';
import type { PlacedOrder } from './place-order.ts';

const lookEveryMs = 500;
/** An answer takes a way of its own after the last moment of its check. */
const graceMs = 500;

/** Each answer to an order as it comes, until all are here, `signal` is aborted or its time is over. */
export async function* followOrder(
  { db, changes, stopping }: Pick<HubContext, 'db' | 'changes' | 'stopping'>,
  placed: PlacedOrder,
  signal: AbortSignal,
): AsyncGenerator<OrderAnswerRow> {
  const ended = AbortSignal.any([signal, stopping]);
  const told = new Set<number>();
  const untilMs = performance.now() + orderMs + graceMs;
  let wake = () => {};
  const unsubscribe = changes.subscribe('orders', () => wake());
  const onEnd = () => wake();
  ended.addEventListener('abort', onEnd);
  try {
    while (!ended.aborted) {
      // Made before it looks: what comes meanwhile wakes the next look.
      const { promise, resolve } = Promise.withResolvers<void>();
      wake = resolve;
      for (const row of await listOrderAnswers(db, placed.id)) {
        if (told.has(row.probeId)) continue;
        told.add(row.probeId);
        yield row;
      }
      const leftMs = untilMs - performance.now();
      if (leftMs <= 0 || told.size === placed.probes.length) return;
      const timer = setTimeout(resolve, Math.min(lookEveryMs, leftMs));
      await promise;
      clearTimeout(timer);
    }
  } finally {
    unsubscribe();
    ended.removeEventListener('abort', onEnd);
  }
}
