import { setTimeout as sleep } from 'node:timers/promises';
import type { Exit } from './tethered.ts';

/** A process that runs. */
export interface Running {
  readonly pid: number;
  readonly exited: Promise<Exit>;
  /** Asks it to stop, and makes it stop where it takes longer than `withinMs`. */
  stop(withinMs: number): Promise<void>;
}

export interface Supervised {
  readonly name: string;
  /** Null while it is down. */
  pid(): number | null;
  /** Stops it for good. */
  stop(withinMs: number): Promise<void>;
}

export interface SuperviseOptions {
  readonly name: string;
  readonly start: (signal: AbortSignal) => Promise<Running>;
  /** One line when it died, one when it is back. */
  readonly say: (line: string) => void;
  readonly backoff?: Backoff;
}

export interface Backoff {
  readonly firstMs: number;
  readonly mostMs: number;
  /** Having run this long it starts from `firstMs` again. */
  readonly calmMs: number;
}

/** For one that came up after the stop was asked for. */
const lateStopMs = 2000;
const usualBackoff: Backoff = { firstMs: 500, mostMs: 30_000, calmMs: 60_000 };

/** Starts it, and starts it again whenever it ends unasked. Rejects where the first start fails: that is a mistake to show. */
export async function supervise(options: SuperviseOptions): Promise<Supervised> {
  const { name, start, say, backoff = usualBackoff } = options;
  const stopping = new AbortController();
  let running: Running | null = await start(stopping.signal);
  const watched = watch();

  async function watch(): Promise<void> {
    let delayMs = backoff.firstMs;
    while (running) {
      const since = performance.now();
      const exit = await running.exited;
      running = null;
      if (stopping.signal.aborted) return;
      if (performance.now() - since > backoff.calmMs) delayMs = backoff.firstMs;
      say(`ended (${endOf(exit)}), starting again in ${delayMs / 1000} s`);
      while (!running) {
        await sleep(delayMs, undefined, { signal: stopping.signal }).catch(() => undefined);
        delayMs = Math.min(delayMs * 2, backoff.mostMs);
        if (stopping.signal.aborted) return;
        running = await start(stopping.signal).catch((error: unknown) => {
          if (!stopping.signal.aborted) {
            const why = error instanceof Error ? error.message : String(error);
            say(`did not start: ${why}; once more in ${delayMs / 1000} s`);
          }
          return null;
        });
      }
      if (stopping.signal.aborted) return running.stop(lateStopMs);
      say(`is back (process ${running.pid})`);
    }
  }

  return {
    name,
    pid: () => running?.pid ?? null,
    async stop(withinMs) {
      stopping.abort();
      await running?.stop(withinMs);
      await watched;
    },
  };
}

function endOf({ code, signal, error }: Exit): string {
  if (error) return error.message;
  return signal ?? `exit code ${code}`;
}
