import { setTimeout as wait } from 'node:timers/promises';
import type { Logger } from 'pino';

/** What was started, to be stopped in the opposite order. */
export interface Closing {
  /** What comes when the others were stopped already is stopped at once. */
  add(name: string, stop: () => void | Promise<void>): void;
  /** Stops everything, the last first; what does not end in time is left behind and told of. Throws nothing. */
  run(withinMs: number): Promise<void>;
}

export function createClosing(log: Pick<Logger, 'warn'>): Closing {
  const started: { name: string; stop: () => void | Promise<void> }[] = [];
  let closed = false;
  return {
    add(name, stop) {
      started.push({ name, stop });
      if (closed) void this.run(1000);
    },
    async run(withinMs) {
      closed = true;
      const untilMs = performance.now() + withinMs;
      for (let part = started.pop(); part; part = started.pop()) {
        const { name, stop } = part;
        const late = new AbortController();
        const stopped = Promise.resolve()
          .then(stop)
          .catch((error: unknown) =>
            log.warn({ err: error, part: name }, 'a part of the hub could not stop'),
          );
        // Even when time is over each is told to stop.
        const leftMs = Math.max(10, untilMs - performance.now());
        const tooLate = wait(leftMs, true, { signal: late.signal }).catch(() => false);
        if (await Promise.race([stopped, tooLate]))
          log.warn({ part: name }, 'a part of the hub did not stop in time');
        late.abort();
      }
    },
  };
}
