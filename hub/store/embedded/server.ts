import { open, readFile, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { startTethered, stopTethered, type Tethered } from '../../process/tethered.ts';
import type { Account } from './account.ts';
import type { Binaries } from './binaries.ts';
import { serverEnvironment } from './cluster.ts';
import type { Place } from './place.ts';
import { diskFullMessage, EmbeddedPostgresError } from './problem.ts';

export interface Server {
  readonly process: Tethered;
  readonly port: number;
}

const maxLogBytes = 10 * 1024 * 1024;

export async function launch(
  place: Place,
  binaries: Binaries,
  account: Account | null,
  options: {
    readonly port: number;
    readonly logFile: string;
    readonly settings: Readonly<Record<string, string>>;
  },
): Promise<Server> {
  const settings = {
    listen_addresses: '127.0.0.1',
    port: String(options.port),
    unix_socket_directories: '',
    ...options.settings,
  };
  const flags = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  const size = await stat(options.logFile).then(
    (file) => file.size,
    () => 0,
  );
  if (size > maxLogBytes) await rename(options.logFile, `${options.logFile}.1`);
  const log = await open(options.logFile, 'a', 0o600);
  try {
    const tethered = await startTethered({
      file: binaries.postgres,
      args: ['-D', place.data, ...flags],
      stopSignal: 'SIGINT',
      output: log.fd,
      env: serverEnvironment(),
      cwd: '/',
      user: account,
    });
    return { process: tethered, port: options.port };
  } finally {
    await log.close();
  }
}

/** The last line of postmaster.pid is the server's own word on its state; what pg_ctl reads. */
export async function isReady(server: Server, place: Place): Promise<boolean> {
  const lines = await readFile(join(place.data, 'postmaster.pid'), 'utf8').catch(() => '');
  const [pid, , , , , , , state] = lines.split('\n');
  return Number(pid) === server.process.pid && state?.trim() === 'ready';
}

/** SIGINT is PostgreSQL's fast shutdown; SIGQUIT leaves recovery to the next start; both keep what was committed. */
export async function stopServer(server: Server): Promise<void> {
  await stopTethered(server.process, [
    ['SIGINT', 6000],
    ['SIGQUIT', 2000],
    ['SIGKILL', 2000],
  ]);
}

/**
 * Waits for a server of an earlier start that is still stopping, and clears the lock file of one that was killed and
 * whose process id now belongs to something else (PostgreSQL would take that for a running server).
 */
export async function clearStaleLock(place: Place, deadlineMs: number): Promise<void> {
  const file = join(place.data, 'postmaster.pid');
  const until = performance.now() + deadlineMs;
  for (;;) {
    const pid = Number((await readFile(file, 'utf8').catch(() => '')).split('\n')[0]);
    if (!pid || !alive(pid)) return;
    if (!(await runsOn(pid, place))) return rm(file, { force: true });
    if (performance.now() > until) {
      throw new EmbeddedPostgresError(
        'in_use',
        `PostgreSQL already runs on ${place.data} (process ${pid}): stop what started it, then start again`,
      );
    }
    await sleep(100);
  }
}

function alive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
}

/** Where the system cannot tell, PostgreSQL's own check decides. */
async function runsOn(pid: number, place: Place): Promise<boolean> {
  const command = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => null);
  return command === null ? process.platform !== 'linux' : command.split('\0').includes(place.data);
}

export interface Failure {
  /** It may work a moment later: a child of a killed server still holds its memory, or the port was taken. */
  readonly passing: boolean;
  readonly error: EmbeddedPostgresError;
}

/** Reads why the server ended from what it logged since `fromByte`. */
export async function whyExited(place: Place, logFile: string, fromByte: number): Promise<Failure> {
  const text = (await readFile(logFile).catch(() => Buffer.alloc(0))).subarray(fromByte).toString('utf8');
  const said = [...text.matchAll(/(?:FATAL|PANIC):\s+(.+)/g)].at(-1)?.[1];
  if (/No space left on device/.test(text)) {
    return { passing: false, error: new EmbeddedPostgresError('disk_full', diskFullMessage(place.base)) };
  }
  const last = said ?? text.trim().split('\n').at(-1) ?? 'it said nothing';
  const broken = /PANIC|invalid|could not (open|read|find|access)|checkpoint|corrupt/i.test(text);
  return {
    passing: /Address already in use|pre-existing shared memory block|could not create any TCP/.test(text),
    error: broken
      ? new EmbeddedPostgresError(
          'corrupted',
          `PostgreSQL cannot start on ${place.data}: ${last}. Restore the folder from a backup, or move it away to begin with an empty database; the log is ${logFile}`,
        )
      : new EmbeddedPostgresError(
          'failed',
          `PostgreSQL cannot start on ${place.data}: ${last}. The log is ${logFile}`,
        ),
  };
}
