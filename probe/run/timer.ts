import type { SteadyClock } from '../clock/steady-clock.ts';
import type { DueSlot, Schedule } from '../schedule/schedule.ts';

export interface Ticker {
  /** What is due may have changed. */
  rearm(): void;
  stop(): void;
}

export interface TickerOptions {
  readonly schedule: Schedule;
  readonly steady: SteadyClock;
  /** Hub time. */
  readonly nowUs: () => number;
  readonly onDue: (slot: DueSlot) => void;
}

/** Looked at again at least this often: clocks are set right meanwhile. */
const longestMs = 1000;
/** Started in one turn of the event loop; the rest after what else is waiting in it. */
const mostAtOnce = 64;

/** One timer for the whole schedule. */
export function startTicker({ schedule, steady, nowUs, onDue }: TickerOptions): Ticker {
  let timer: NodeJS.Timeout | undefined;
  let next: NodeJS.Immediate | undefined;
  let stopped = false;

  function tick(): void {
    steady.look();
    const taken = schedule.take(nowUs(), mostAtOnce);
    for (const slot of taken) onDue(slot);
    rearm(taken.length >= mostAtOnce);
  }

  function rearm(more = false): void {
    clearTimeout(timer);
    clearImmediate(next);
    if (stopped) return;
    if (more) {
      next = setImmediate(tick);
      return;
    }
    const dueUs = schedule.nextDueUs();
    const inMs = dueUs === null ? longestMs : Math.ceil((dueUs - nowUs()) / 1000);
    timer = setTimeout(tick, Math.max(0, Math.min(inMs, longestMs)));
  }

  rearm();
  return {
    rearm: () => rearm(),
    stop() {
      stopped = true;
      rearm();
    },
  };
}
