import type { Logger } from 'pino';
import { type Assignment, assignmentSchema } from '../../shared/assignment.ts';
import { type Order, type OrderAnswer, orderPath } from '../../shared/order.ts';
import type { HubLink } from '../hub/hub-link.ts';
import type { MeasuredChecker } from './measured.ts';

/** Checks that somebody waits for at the hub: run at once, answered straight, never spooled. */
export interface Orders {
  take(orders: readonly Order[]): void;
  stop(): void;
}

export interface OrdersOptions {
  readonly checker: MeasuredChecker;
  readonly link: HubLink;
  /** Hub time. */
  readonly nowUs: () => number;
  readonly log: Pick<Logger, 'warn' | 'debug'>;
}

const mostAtOnce = 20;
const mostRemembered = 1000;
const answerTimeoutMs = 3000;

export function createOrders({ checker, link, nowUs, log }: OrdersOptions): Orders {
  const seen = new Set<string>();
  const stopping = new AbortController();
  let running = 0;

  async function run({ id, untilUs }: Order, assignment: Assignment): Promise<void> {
    const startedAt = nowUs();
    const leftMs = (untilUs - startedAt) / 1000;
    if (leftMs <= 0) return;
    const signal = AbortSignal.any([stopping.signal, AbortSignal.timeout(Math.ceil(leftMs))]);
    const { observation, disturbed } = await checker.check(assignment, signal);
    const answer: OrderAnswer = { startedAt, suspect: disturbed, observation };
    const { status } = await link.request('POST', orderPath(id), {
      body: Buffer.from(JSON.stringify(answer)),
      headers: { 'content-type': 'application/json' },
      timeoutMs: answerTimeoutMs,
      signal: stopping.signal,
    });
    if (status !== 204) log.debug({ order: id, status }, 'nobody waited for the answer any more');
  }

  return {
    take(orders) {
      for (const order of orders) {
        if (seen.has(order.id) || running >= mostAtOnce || stopping.signal.aborted) continue;
        if (seen.size >= mostRemembered) seen.delete(seen.values().next().value ?? '');
        seen.add(order.id);
        const { success, data } = assignmentSchema.safeParse(order.assignment);
        if (!success) {
          log.warn(
            { order: order.id },
            'this probe cannot read a check on demand: is it older than the hub?',
          );
          continue;
        }
        running += 1;
        run(order, data)
          .catch((error: unknown) => log.warn({ err: error, order: order.id }, 'a check on demand failed'))
          .finally(() => {
            running -= 1;
          });
      }
    },
    stop: () => stopping.abort(),
  };
}
