import { setTimeout as wait } from 'node:timers/promises';
import type { Database } from './database.ts';
import { isDatabaseAway } from './database-away.ts';

export interface ReachOptions {
  readonly url: string;
  /** One line for people, each time somebody would wonder. */
  readonly say: (line: string) => void;
  readonly signal: AbortSignal;
  readonly withinMs?: number;
  readonly everyMs?: number;
}

const leastVersion = 14;

/**
 * Resolves when the database answers and is new enough. One that is away is waited for; one that refuses us is not:
 * throws one line that says what to do.
 */
export async function reachDatabase(db: Database, options: ReachOptions): Promise<void> {
  const { url, say, signal, withinMs = 60_000, everyMs = 5000 } = options;
  const where = whereOf(url);
  const untilMs = performance.now() + withinMs;
  let saidMs = Number.NEGATIVE_INFINITY;
  for (;;) {
    signal.throwIfAborted();
    try {
      const { version } = await db.one<{ version: string }>(
        "select current_setting('server_version_num') as version",
      );
      const major = Math.floor(Number(version) / 10_000);
      if (major >= leastVersion) return;
      throw new Error(`PostgreSQL ${major} at ${where} is too old: Parallax needs ${leastVersion} or newer`);
    } catch (error) {
      if (!isDatabaseAway(error)) throw refusal(error, where);
      const nowMs = performance.now();
      if (nowMs >= untilMs) {
        throw new Error(
          `PostgreSQL at ${where} could not be reached for ${Math.round(withinMs / 1000)} s (${reasonOf(error)}): start it, or correct DATABASE_URL`,
          { cause: error },
        );
      }
      if (nowMs - saidMs >= everyMs) {
        say(`waiting for PostgreSQL at ${where} (${reasonOf(error)})`);
        saidMs = nowMs;
      }
      await wait(Math.min(500, everyMs), undefined, { signal });
    }
  }
}

function refusal(error: unknown, where: string): Error {
  const { code, message } = error as { code?: string; message: string };
  // Classes 28 (who we are) and 3D (which database) of PostgreSQL's error codes.
  if (code?.startsWith('28')) {
    return new Error(`PostgreSQL at ${where} does not let us in (${message}): correct DATABASE_URL`, {
      cause: error,
    });
  }
  if (code === '3D000') {
    return new Error(`PostgreSQL at ${where}: ${message}: create it, or correct DATABASE_URL`, {
      cause: error,
    });
  }
  if (code === undefined && error instanceof Error && error.message.includes('is too old')) return error;
  return new Error(`PostgreSQL at ${where}: ${message}: correct DATABASE_URL`, { cause: error });
}

/** Host and port; never the password. */
export function whereOf(url: string): string {
  const { hostname, port, searchParams } = new URL(url);
  return searchParams.get('host') ?? `${hostname || 'localhost'}:${port || '5432'}`;
}

function reasonOf(error: unknown): string {
  const { code, message } = error as { code?: string; message: string };
  return message || code || 'no answer';
}
