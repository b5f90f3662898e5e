import { readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { freePort, portIsFree } from '../../process/port.ts';
import { type Exit, endsWithin } from '../../process/tethered.ts';
import { type Account, accountFor } from './account.ts';
import { type Binaries, findBinaries } from './binaries.ts';
import { hasCluster, makeCluster, superuser } from './cluster.ts';
import { makePlace, type Place, sharedDir } from './place.ts';
import { EmbeddedPostgresError, fileProblem } from './problem.ts';
import { clearStaleLock, isReady, launch, type Server, stopServer, whyExited } from './server.ts';

export interface EmbeddedPostgres {
  /** Of the database `parallax`, with user and password. */
  readonly url: string;
  readonly pid: number;
  /** How the server ended, asked or not. */
  readonly exited: Promise<Exit>;
  /** Fast shutdown; resolves when the process is gone. */
  stop(): Promise<void>;
}

export interface EmbeddedPostgresOptions {
  /** Made where it is missing; a second start goes on with what is in it. */
  readonly dataDir: string;
  /** What happens, a line each, for whoever waits. */
  readonly log: (line: string) => void;
  readonly signal: AbortSignal;
  /** The server's own log; default `server.log` in `dataDir`. */
  readonly logFile?: string;
  /** postgresql.conf settings on top of ours. */
  readonly settings?: Readonly<Record<string, string>>;
  /** False gives speed for data nobody needs after a power cut: tests. */
  readonly durable?: boolean;
  /** How long a server of an earlier start may take to go; default 15 s. */
  readonly lockDeadlineMs?: number;
  /** How long recovery after a crash may take. */
  readonly deadlineMs?: number;
}

const database = 'parallax';
const attempts = 10;
const careless = { fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off' };

/** Real PostgreSQL from npm's binaries, on loopback, on a port that it keeps; as root, under another user. */
export async function startEmbeddedPostgres(options: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> {
  const { log, signal, durable = true } = options;
  const account = await accountFor();
  const binaries = await findBinaries(account, sharedDir);
  const place = await makePlace(options.dataDir, account);
  if (await hasCluster(place)) await clearStaleLock(place, options.lockDeadlineMs ?? 15_000);
  else log(`making a PostgreSQL ${binaries.major} database in ${place.base}`);
  const password = await makeCluster(place, binaries, account, { sync: durable, signal });
  const settings = { ...(durable ? {} : careless), ...options.settings };
  const logFile = options.logFile ?? join(place.base, 'server.log');
  const server = await startServer(place, binaries, account, { ...options, settings, logFile });
  try {
    const url = (name: string) => `postgresql://${superuser}:${password}@127.0.0.1:${server.port}/${name}`;
    await createDatabase(url('postgres')).catch((error: unknown) => {
      throw loginProblem(error, place);
    });
    return {
      url: url(database),
      pid: server.process.pid,
      exited: server.process.exited,
      stop: () => stopServer(server),
    };
  } catch (error) {
    await stopServer(server);
    throw error;
  }
}

interface StartOptions extends EmbeddedPostgresOptions {
  readonly settings: Readonly<Record<string, string>>;
  readonly logFile: string;
}

async function startServer(
  place: Place,
  binaries: Binaries,
  account: Account | null,
  { settings, logFile, log, signal, deadlineMs = 300_000 }: StartOptions,
): Promise<Server> {
  for (let attempt = 1; ; attempt += 1) {
    signal.throwIfAborted();
    const fromByte = await stat(logFile).then(
      (file) => file.size,
      () => 0,
    );
    try {
      const port = await choosePort(place);
      const server = await launch(place, binaries, account, { port, logFile, settings });
      if (await becomesReady(server, place, { log, signal, deadlineMs })) return server;
    } catch (error) {
      if (error instanceof EmbeddedPostgresError || signal.aborted) throw error;
      throw fileProblem(error, place.base);
    }
    const failure = await whyExited(place, logFile, fromByte);
    if (!failure.passing || attempt === attempts) throw failure.error;
    await sleep(500, undefined, { signal });
  }
}

/** The port of the last start where it is still free, so that a saved address goes on working. */
async function choosePort(place: Place): Promise<number> {
  const file = join(place.base, 'port');
  const kept = Number(await readFile(file, 'utf8').catch(() => ''));
  if (Number.isInteger(kept) && kept > 0 && kept < 65_536 && (await portIsFree(kept))) return kept;
  const port = await freePort();
  await writeFile(file, `${port}\n`);
  return port;
}

async function becomesReady(
  server: Server,
  place: Place,
  { log, signal, deadlineMs }: { log: (line: string) => void; signal: AbortSignal; deadlineMs: number },
): Promise<boolean> {
  const started = performance.now();
  let told = started;
  for (;;) {
    if (await isReady(server, place)) return true;
    const now = performance.now();
    if (signal.aborted || now - started > deadlineMs) {
      await stopServer(server);
      signal.throwIfAborted();
      throw new EmbeddedPostgresError(
        'failed',
        `PostgreSQL on ${place.data} was not ready after ${Math.round(deadlineMs / 1000)} s`,
      );
    }
    if (now - told > 5000) {
      told = now;
      log(`PostgreSQL is recovering (${Math.round((now - started) / 1000)} s)`);
    }
    if (await endsWithin(server.process.exited, 30)) return false;
  }
}

async function createDatabase(url: string): Promise<void> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 10_000 });
  await client.connect();
  try {
    const { rowCount } = await client.query('select 1 from pg_database where datname = $1', [database]);
    if (rowCount === 0) await client.query(`create database ${database}`);
  } finally {
    await client.end();
  }
}

/** The server is up, and yet the first statement fails: its files are damaged, or its password is not the kept one. */
function loginProblem(error: unknown, place: Place): EmbeddedPostgresError {
  const said = error instanceof Error ? error.message : String(error);
  return new EmbeddedPostgresError(
    'corrupted',
    `PostgreSQL runs on ${place.data} and refuses work: ${said}. Restore the folder from a backup, or move it away to begin with an empty database`,
    { cause: error },
  );
}
