import { setTimeout as wait } from 'node:timers/promises';
import pg from 'pg';
import type { Logger } from 'pino';
import { type Changes, type ChangeTopic, changeChannel, changeTopics } from './changes.ts';

export interface ListenOptions {
  readonly url: string;
  readonly log: Pick<Logger, 'warn' | 'info' | 'error'>;
  /** Looks so often even when nobody notifies: a pooler may keep notifications from us. */
  readonly pollMs?: number;
  /** Longest wait between two tries to connect. */
  readonly longestRetryMs?: number;
}

/** Notifications of busy ingest come by the hundred a second: one look answers them all. */
const leastGapMs = 25;
const queryTimeoutMs = 5000;

/**
 * One connection of its own that listens and polls. A notification only means "look now": listeners are called when a
 * topic's version is another than at the last look, so that nothing is told twice and nothing is missed, whether a
 * notification got lost, the connection broke or the database was restored.
 */
export function listenForChanges({ url, log, pollMs = 1000, longestRetryMs = 5000 }: ListenOptions): Changes {
  const listeners = new Map<ChangeTopic, Set<() => void>>();
  const seen = new Map<ChangeTopic, number>();
  const stopping = new AbortController();
  let wake = () => {};

  async function look(client: pg.Client): Promise<void> {
    const { rows } = await client.query<{ topic: string; version: number }>(
      'select topic, sum(version)::int8 as version from change_versions group by topic',
    );
    for (const { topic, version } of rows) {
      const known = changeTopics.find((one) => one === topic);
      if (!known || seen.get(known) === version) continue;
      seen.set(known, version);
      for (const listener of listeners.get(known) ?? []) call(known, listener);
    }
  }

  function call(topic: ChangeTopic, listener: () => void): void {
    try {
      listener();
    } catch (error) {
      log.error({ err: error, topic }, 'a listener for changes failed');
    }
  }

  async function listen(onConnect: () => void): Promise<void> {
    const client = new pg.Client({
      connectionString: url,
      application_name: 'parallax-changes',
      keepAlive: true,
      connectionTimeoutMillis: queryTimeoutMs,
      query_timeout: queryTimeoutMs,
    });
    let failure: Error | null = null;
    let giveUp = (_: Error) => {};
    const breakOff = (error: Error) => {
      failure ??= error;
      giveUp(error);
    };
    /** Rejects when the connection breaks: one for each round, since whoever races a promise stays in its memory. */
    const breaks = () => {
      const { promise, reject } = Promise.withResolvers<never>();
      promise.catch(() => undefined);
      giveUp = reject;
      if (failure) reject(failure);
      return promise;
    };
    client.on('error', breakOff);
    client.on('end', () => breakOff(new Error('the connection ended')));
    const stopped = () => breakOff(stopping.signal.reason);
    stopping.signal.addEventListener('abort', stopped, { once: true });
    try {
      await Promise.race([client.connect(), breaks()]);
      client.on('notification', () => wake());
      await client.query(`listen ${changeChannel}`);
      onConnect();
      for (;;) {
        const broken = breaks();
        const woken = Promise.withResolvers<void>();
        wake = woken.resolve;
        await Promise.race([look(client), broken]);
        await Promise.race([wait(leastGapMs), broken]);
        const poll = setTimeout(woken.resolve, pollMs - leastGapMs).unref();
        await Promise.race([woken.promise, broken]).finally(() => clearTimeout(poll));
      }
    } finally {
      stopping.signal.removeEventListener('abort', stopped);
      await Promise.race([client.end(), wait(1000, undefined, { ref: false })]).catch(() => undefined);
    }
  }

  async function run(): Promise<void> {
    let retryMs = 100;
    let broken = false;
    while (!stopping.signal.aborted) {
      try {
        await listen(() => {
          if (broken) log.info('changes are heard again');
          broken = false;
          retryMs = 100;
        });
      } catch (error) {
        if (stopping.signal.aborted) return;
        if (!broken) log.warn({ err: error }, 'the connection that hears changes broke: connecting again');
        broken = true;
        await wait(retryMs, undefined, { signal: stopping.signal }).catch(() => undefined);
        retryMs = Math.min(retryMs * 2, longestRetryMs);
      }
    }
  }

  const running = run();
  return {
    subscribe(topic, listener) {
      const set = listeners.get(topic) ?? new Set();
      listeners.set(topic, set.add(listener));
      return () => set.delete(listener);
    },
    async stop() {
      stopping.abort(new Error('stopped'));
      await running;
    },
  };
}
