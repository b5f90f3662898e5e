import type { Logger } from 'pino';
import type { Spool } from '../spool/spool.ts';
import { createDeliveryPlan, type DeliveryPlan } from './plan.ts';
import { DeliveryError, type Way } from './way.ts';

export interface DeliverOptions {
  readonly way: Way;
  readonly log: Logger;
  /** Batches under way at once; one place is kept for live ones. */
  readonly maxInFlight?: number;
  /** Backlog, in batches a second: what is measured now comes first. */
  readonly backlogPerSecond?: number;
  /** First and longest pause while no way is open. */
  readonly pauseMs?: readonly [first: number, longest: number];
  /** When a refused batch is tried again, and how often before it is given up, if others got through. */
  readonly parkMs?: number;
  readonly parkTries?: number;
  /** Told when nothing can be delivered, and when it can again. */
  readonly onTrouble: (trouble: string | null) => void;
  /** Told of batches that were lost on the way. */
  readonly onLost?: (batches: number) => void;
  readonly random?: () => number;
}

export interface Delivery {
  /** The newest comes first: it is the one that still grows. */
  attach(spool: Spool): DeliveryPlan;
  detach(spool: Spool): void;
  /** There may be something to do. */
  nudge(): void;
  /** Why nothing is delivered, or null. */
  trouble(): string | null;
  /** Batches to be sent or under way. */
  open(): number;
  /** Resolves when all is handed over, or when `signal` aborts. */
  drain(signal: AbortSignal): Promise<void>;
  stop(): Promise<void>;
}

interface Line {
  readonly spool: Spool;
  readonly plan: DeliveryPlan;
  readonly refused: Map<number, Refused>;
}

interface Refused {
  readonly tries: number;
  /** How many batches had got through when it was first refused. */
  readonly taken: number;
}

const tickMs = 1000;
/** More at a time is no matter of single batches: a proxy in between, say, takes none. */
const mostSetAside = 8;

/** Sends what the spools hold until the hub has it: a few at once, in order as far as that goes. */
export function startDelivery(options: DeliverOptions): Delivery {
  const { way, log, onTrouble, maxInFlight = 4, backlogPerSecond = 25, random = Math.random } = options;
  const {
    pauseMs: [firstPauseMs, longestPauseMs] = [500, 30_000],
    parkMs = 600_000,
    parkTries = 6,
  } = options;
  const lines: Line[] = [];
  const stopped = new AbortController();
  const underWay = new Set<Promise<void>>();
  let pauseMs = firstPauseMs;
  let pausedUntilMs = 0;
  let backlogAtMs = 0;
  let taken = 0;
  let draining = false;
  let drained: (() => void) | null = null;
  let trouble: string | null = null;
  let timer: NodeJS.Timeout | undefined;

  const ticker = setInterval(() => {
    if (trouble === null) for (const { spool, plan } of lines) lookForLost(spool, plan);
    pump();
  }, tickMs);

  function lookForLost({ stream }: Spool, plan: DeliveryPlan): void {
    const lost = plan.again(performance.now());
    if (lost === 0) return;
    options.onLost?.(lost);
    log.warn({ stream, batches: lost }, 'not durable long after they were sent: sending these batches again');
  }

  function pump(): void {
    if (stopped.signal.aborted) return;
    clearTimeout(timer);
    const nowMs = performance.now();
    if (nowMs < pausedUntilMs) {
      timer = setTimeout(pump, pausedUntilMs - nowMs);
      return;
    }
    // While no way is open one batch is enough to find out that one is.
    const places = trouble === null ? maxInFlight : 1;
    while (underWay.size < places) {
      const found = pick(underWay.size < Math.max(1, places - 1));
      if (!found) break;
      const { line, seq, live } = found;
      if (!live) backlogAtMs = Math.max(backlogAtMs, performance.now() - 1000) + 1000 / backlogPerSecond;
      line.plan.sending(seq);
      const sending = deliver(line, seq);
      underWay.add(sending);
      void sending.finally(() => {
        underWay.delete(sending);
        pump();
      });
    }
    if (open() === 0) {
      // What failed last turned out to be durable, its answer lost: nothing is known to be wrong.
      flowing();
      drained?.();
    } else if (backlogAtMs > nowMs) timer = setTimeout(pump, backlogAtMs - nowMs);
  }

  function pick(roomForBacklog: boolean): { line: Line; seq: number; live: boolean } | null {
    const backlogToo = draining || (roomForBacklog && performance.now() >= backlogAtMs);
    for (const allowed of [false, backlogToo]) {
      for (const line of lines) {
        const next = line.plan.next(allowed);
        if (next) return { line, ...next };
      }
    }
    return null;
  }

  async function deliver({ spool, plan, refused }: Line, seq: number): Promise<void> {
    try {
      const batch = await spool.read(seq);
      if (!batch) {
        plan.gone(seq, seq);
        return;
      }
      await way.send(batch, stopped.signal);
      plan.sent(seq, performance.now());
      refused.delete(seq);
      taken += 1;
      flowing();
    } catch (error) {
      if (stopped.signal.aborted) plan.failed(seq);
      else if (error instanceof DeliveryError && error.kind === 'refused')
        await setAside({ spool, plan, refused }, seq, error);
      else {
        plan.failed(seq);
        suffer(error);
      }
    }
  }

  /**
   * A batch that is refused for what it is must not be tried again and again, nor keep the others. It is given up only
   * on the hub's own word, and where others got through meanwhile: what a proxy in between says, or a hub that is set up
   * wrong says of each, is a reason to wait.
   */
  async function setAside({ spool, plan, refused }: Line, seq: number, error: DeliveryError): Promise<void> {
    const { stream } = spool;
    const { durable } = spool.status();
    for (const past of refused.keys()) if (past <= durable) refused.delete(past);
    const { tries, taken: takenThen } = refused.get(seq) ?? { tries: 0, taken };
    if (error.isFinal && tries + 1 >= parkTries && taken > takenThen) {
      log.error({ stream, seq, why: error.message }, 'a batch was refused again and again: it is given up');
      refused.delete(seq);
      plan.gone(seq, seq);
      await spool.drop(seq, 'refused by the hub');
      return;
    }
    refused.set(seq, { tries: tries + 1, taken: takenThen });
    plan.park(seq, performance.now() + parkMs);
    if (refused.size > mostSetAside) suffer(error);
    else log.error({ stream, seq, why: error.message }, 'a batch was refused: it is set aside');
  }

  function flowing(): void {
    pauseMs = firstPauseMs;
    if (trouble === null) return;
    trouble = null;
    log.info('results are delivered again');
    onTrouble(null);
  }

  function suffer(error: unknown): void {
    const why = error instanceof Error ? error.message : String(error);
    if (trouble === null) log.warn({ why }, 'results cannot be delivered: they wait in the spool');
    trouble = why;
    onTrouble(why);
    const nowMs = performance.now();
    // Several that were under way fail for the same reason: they count as one.
    if (nowMs < pausedUntilMs) return;
    const asked = error instanceof DeliveryError ? (error.retryAfterMs ?? 0) : 0;
    // On top of what the hub asks for, which is the same for all its probes.
    pausedUntilMs = nowMs + asked + pauseMs * (0.25 + 0.75 * random());
    pauseMs = Math.min(pauseMs * 2, longestPauseMs);
  }

  function open(): number {
    return lines.reduce((sum, { plan }) => sum + plan.open(), 0);
  }

  return {
    attach(spool) {
      const plan = createDeliveryPlan();
      plan.found(spool.found());
      lines.unshift({ spool, plan, refused: new Map() });
      pump();
      return plan;
    },
    detach(spool) {
      const index = lines.findIndex((line) => line.spool === spool);
      if (index >= 0) lines.splice(index, 1);
    },
    nudge: pump,
    trouble: () => trouble,
    open,
    async drain(signal) {
      if (signal.aborted) return;
      draining = true;
      await new Promise<void>((resolve) => {
        drained = resolve;
        signal.addEventListener('abort', () => resolve(), { once: true });
        pump();
      });
    },
    async stop() {
      stopped.abort(new Error('the probe is stopping'));
      clearInterval(ticker);
      clearTimeout(timer);
      await Promise.all(underWay);
    },
  };
}
