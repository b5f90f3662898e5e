import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';

/**
 * A server we start, on a tether: in a process group of its own, so that Ctrl-C reaches us alone and we stop all in
 * order; and with a watcher on a pipe from us, so that it is asked to stop even when we are killed.
 */
export interface Tethered {
  readonly pid: number;
  /** How it ended, asked or not. Never rejects. */
  readonly exited: Promise<Exit>;
  kill(signal: NodeJS.Signals): void;
}

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** Why it could not be started at all. */
  readonly error: Error | null;
}

export interface TetheredOptions {
  readonly file: string;
  readonly args: readonly string[];
  /** What asks it to stop. */
  readonly stopSignal: 'SIGINT' | 'SIGTERM';
  /** File descriptors of an open file; it stays the caller's to close. */
  readonly output: number;
  readonly env: NodeJS.ProcessEnv;
  readonly cwd: string;
  readonly user?: { readonly uid: number; readonly gid: number } | null;
}

/** The watcher is a grandchild: the server never sees it end. `$$` is the process that becomes the server. */
const launcher = (stopSignal: string) =>
  `( ( read -r _ <&3; kill -${stopSignal.slice(3)} $$ 2>/dev/null ) & ); exec 3<&-; exec "$@"`;

export async function startTethered(options: TetheredOptions): Promise<Tethered> {
  const child = spawn('/bin/sh', ['-c', launcher(options.stopSignal), 'sh', options.file, ...options.args], {
    cwd: options.cwd,
    env: options.env,
    detached: true,
    stdio: ['ignore', options.output, options.output, 'pipe'],
    ...(options.user && { uid: options.user.uid, gid: options.user.gid }),
  });
  const exited = exitOf(child);
  void exited.then(() => child.stdio[3]?.destroy());
  await Promise.race([once(child, 'spawn').catch(() => undefined), exited]);
  return { pid: child.pid ?? 0, exited, kill: (signal) => void child.kill(signal) };
}

function exitOf(child: ChildProcess): Promise<Exit> {
  return new Promise((done) => {
    child.once('error', (error) => done({ code: null, signal: null, error }));
    child.once('exit', (code, signal) => done({ code, signal, error: null }));
  });
}

/** Sends each signal in turn until the process has ended; true where one was enough. */
export async function stopTethered(
  { exited, kill }: Tethered,
  steps: readonly (readonly [signal: NodeJS.Signals, waitMs: number])[],
): Promise<boolean> {
  for (const [index, [signal, waitMs]] of steps.entries()) {
    kill(signal);
    if (await endsWithin(exited, waitMs)) return index === 0;
  }
  return false;
}

export async function endsWithin(exited: Promise<unknown>, waitMs: number): Promise<boolean> {
  const timeout = new AbortController();
  const late = sleep(waitMs, false, { signal: timeout.signal }).catch(() => false);
  const ended = await Promise.race([exited.then(() => true), late]);
  timeout.abort();
  return ended;
}
