import { spawn } from 'node:child_process';
import { mkdir, open } from 'node:fs/promises';
import { dirname } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { endsWithin, startTethered, type Tethered } from '../../hub/process/tethered.ts';
import type { Random } from './random.ts';

/** How a process is started, asked at each start: a fault may have changed it. */
export interface Launch {
  readonly file: string;
  readonly args: readonly string[];
  readonly env: NodeJS.ProcessEnv;
  readonly cwd: string;
}

/** A process of the network with somebody who starts it again when it ends, as an init system would. */
export interface ManagedProcess {
  readonly name: string;
  readonly logFile: string;
  /** 0 while it does not run. */
  pid(): number;
  running(): boolean;
  /** How often it was started. */
  starts(): number;
  /** How it ended so far, by itself or not. */
  ends(): readonly string[];
  kill(signal: NodeJS.Signals): void;
  /** SIGTERM, then SIGKILL; it stays down until start(). */
  stop(): Promise<void>;
  /** Like stop(), by SIGKILL at once. */
  destroy(): Promise<void>;
  /** With changes to how it is started that stay until the next start() with others. */
  start(change?: (launch: Launch) => Launch): Promise<void>;
}

export interface ManagedOptions {
  readonly name: string;
  readonly logFile: string;
  readonly random: Random;
  readonly launch: () => Launch;
}

/** What an init system waits before it starts one again. */
const restartMs = [500, 3000] as const;

export async function manage({ name, logFile, random, launch }: ManagedOptions): Promise<ManagedProcess> {
  await mkdir(dirname(logFile), { recursive: true });
  let current: Tethered | null = null;
  let wanted = false;
  let starts = 0;
  let change: (launch: Launch) => Launch = (same) => same;
  const ends: string[] = [];

  /** One at a time: two who would start it again at once start it once. */
  let spawning: Promise<void> | null = null;
  function spawnOnce(): Promise<void> {
    spawning ??= spawnNow().finally(() => {
      spawning = null;
    });
    return spawning;
  }

  async function spawnNow(): Promise<void> {
    const { file, args, env, cwd } = change(launch());
    const log = await open(logFile, 'a');
    try {
      const process = await startTethered({ file, args, env, cwd, stopSignal: 'SIGTERM', output: log.fd });
      current = process;
      starts += 1;
      void process.exited.then(({ code, signal }) => {
        ends.push(String(signal ?? code));
        if (current === process) current = null;
        void revive();
      });
    } finally {
      await log.close();
    }
  }

  async function revive(): Promise<void> {
    await wait(random.int(...restartMs));
    if (wanted && current === null) await spawnOnce();
  }

  async function end(signal: NodeJS.Signals, waitMs: number): Promise<void> {
    wanted = false;
    await spawning;
    const process = current;
    if (!process) return;
    process.kill(signal);
    // One that stands still hears nothing else.
    if (signal !== 'SIGKILL') process.kill('SIGCONT');
    if (await endsWithin(process.exited, waitMs)) return;
    process.kill('SIGKILL');
    await endsWithin(process.exited, 5000);
  }

  return {
    name,
    logFile,
    pid: () => current?.pid ?? 0,
    running: () => current !== null,
    starts: () => starts,
    ends: () => ends,
    kill: (signal) => current?.kill(signal),
    stop: () => end('SIGTERM', 15_000),
    destroy: () => end('SIGKILL', 5000),
    async start(changed) {
      if (changed) change = changed;
      wanted = true;
      if (current === null) await spawnOnce();
    },
  };
}

/** Runs a command to its end; throws with what it printed where it fails. */
export function runToEnd(launch: Launch, timeoutMs = 60_000): Promise<string> {
  return new Promise((done, failed) => {
    const child = spawn(launch.file, launch.args, {
      env: launch.env,
      cwd: launch.cwd,
      timeout: timeoutMs,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let out = '';
    let err = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      out += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      err += text;
    });
    child.once('error', failed);
    child.once('close', (code, signal) => {
      if (code === 0) return done(out);
      failed(new Error(`${launch.args.slice(0, 4).join(' ')} ended with ${code ?? signal}: ${err || out}`));
    });
  });
}
