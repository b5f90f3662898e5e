import { readFileSync } from 'node:fs';
import { setTimeout as wait } from 'node:timers/promises';
import { tlsTrouble } from '../../shared/tls-trouble.ts';
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
      if (isOfFile(error) || !isDatabaseAway(error)) throw refusal(error, url);
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

/** A file that the address names, such as a certificate: node-postgres reads them for each connection. */
function isOfFile(error: unknown): boolean {
  const { syscall } = error as NodeJS.ErrnoException;
  return syscall === 'open' || syscall === 'read';
}

function refusal(error: unknown, url: string): Error {
  const where = whereOf(url);
  const { code, message } = error as { code?: string; message: string };
  if (isOfFile(error)) {
    return new Error(`DATABASE_URL names a file that cannot be read: ${message}`, { cause: error });
  }
  const tls = tlsTrouble(error, tlsTerms(url));
  if (tls !== null) return new Error(tls, { cause: error });
  // Classes 28 (who we are) and 3D (which database) of PostgreSQL's error codes.
  if (code?.startsWith('28')) {
    const todo = /client certificate/.test(message)
      ? 'name one with sslcert=FILE&sslkey=FILE in DATABASE_URL'
      : /no encryption/.test(message)
        ? 'perhaps it asks for TLS: add sslmode=verify-full&sslrootcert=FILE to DATABASE_URL'
        : 'correct DATABASE_URL';
    return new Error(`PostgreSQL at ${where} does not let us in (${message}): ${todo}`, { cause: error });
  }
  if (code === '3D000') {
    return new Error(`PostgreSQL at ${where}: ${message}: create it, or correct DATABASE_URL`, {
      cause: error,
    });
  }
  if (code === undefined && error instanceof Error && error.message.includes('is too old')) return error;
  return new Error(`PostgreSQL at ${where}: ${message}: correct DATABASE_URL`, { cause: error });
}

function tlsTerms(url: string) {
  const file = new URL(url).searchParams.get('sslcert');
  return {
    peer: `PostgreSQL at ${whereOf(url)}`,
    ca: 'sslrootcert=FILE in DATABASE_URL',
    cert: 'sslcert=FILE&sslkey=FILE in DATABASE_URL',
    own: file === null ? null : readFileSync(file, 'utf8'),
  };
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
