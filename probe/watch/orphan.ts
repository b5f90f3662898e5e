import type { Logger } from 'pino';
import { request } from 'undici';

/** Tells somebody by itself when the hub, which tells people otherwise, is away. */
export interface OrphanWatch {
  /** `trouble`: why the hub gave no lease, or null. Called now and then. */
  look(trouble: string | null): void;
}

export interface OrphanOptions {
  readonly url: string;
  readonly probe: {
    readonly id: number;
    readonly name: string;
    readonly region: string;
    readonly hub: string;
  };
  readonly log: Pick<Logger, 'info' | 'warn'>;
  readonly nowMs?: () => number;
  /** Away for so long: then it is told. */
  readonly afterMs?: number;
  readonly send?: (url: string, body: string) => Promise<number>;
}

const orphanAfterMs = 300_000;
const againMs = [10_000, 60_000, 300_000] as const;
const timeoutMs = 10_000;

/**
 * One POST when the hub was away for five minutes, one when it is back: {event: hub.away | hub.back, probe, region,
 * hub, since, why}. One that is not answered 2xx is tried again, ever more seldom; of two that wait the newer counts.
 */
export function createOrphanWatch(options: OrphanOptions): OrphanWatch {
  const { url, probe, log, nowMs = Date.now, afterMs = orphanAfterMs, send = post } = options;
  let awaySinceMs: number | null = null;
  let told = false;
  let waiting: { readonly event: object; tries: number; dueMs: number } | null = null;
  let sending = false;

  function say(event: 'hub.away' | 'hub.back', sinceMs: number, why: string | null): void {
    const { id, name, region, hub } = probe;
    const since = new Date(sinceMs).toISOString();
    const at = new Date(nowMs()).toISOString();
    waiting = { event: { event, probe: { id, name }, region, hub, since, at, why }, tries: 0, dueMs: 0 };
  }

  async function deliver(): Promise<void> {
    const mine = waiting;
    if (!mine || sending || mine.dueMs > nowMs()) return;
    sending = true;
    try {
      const status = await send(url, JSON.stringify(mine.event));
      if (status < 200 || status > 299) throw new Error(`it answered ${status}`);
      if (waiting === mine) waiting = null;
    } catch (error) {
      const pause = againMs[Math.min(mine.tries, againMs.length - 1)] ?? 0;
      mine.tries += 1;
      mine.dueMs = nowMs() + pause;
      // Its address may hold a secret.
      log.warn(
        { why: error instanceof Error ? error.message : String(error) },
        'the webhook of --orphan-webhook cannot be told',
      );
    } finally {
      sending = false;
    }
    if (waiting !== mine) await deliver();
  }

  return {
    look(trouble) {
      if (trouble !== null) awaySinceMs ??= nowMs();
      if (trouble !== null && !told && awaySinceMs !== null && nowMs() - awaySinceMs >= afterMs) {
        told = true;
        log.info('the hub is away for long: the webhook is told');
        say('hub.away', awaySinceMs, trouble);
      } else if (trouble === null && awaySinceMs !== null) {
        if (told) say('hub.back', awaySinceMs, null);
        told = false;
        awaySinceMs = null;
      }
      void deliver();
    },
  };
}

async function post(url: string, body: string): Promise<number> {
  const { statusCode, body: answer } = await request(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body,
    signal: AbortSignal.timeout(timeoutMs),
  });
  await answer.dump({ limit: 65_536 });
  return statusCode;
}
