import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { connect } from 'node:net';
import { delimiter, join } from 'node:path';

/** A server program of the machine, started by a test. */
export interface RealServer {
  readonly port: number;
  readonly pid: number;
  /** What it wrote so far, on both of its outputs. */
  output(): string;
  /** Ends it, by its process id, and waits until it has gone. */
  stop(): Promise<void>;
}

export interface RealServerOptions {
  readonly command: string;
  readonly args: readonly string[];
  /** On loopback; `freePort()` of hub/process/port.ts names one. */
  readonly port: number;
  /** Whether it serves by now, asked every 50 ms; by default whether the port takes connections. */
  readonly ready?: (port: number, output: string) => Promise<boolean> | boolean;
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
}

const startMs = 15_000;
const stopMs = 5000;
const lookMs = 50;
const keptOutput = 65_536;

/** Starts a program and waits until it serves. It ends with the test's own process whatever happens. */
export async function realServer(options: RealServerOptions): Promise<RealServer> {
  const { command, args, port, ready = takesConnections, cwd, env = {} } = options;
  const child = spawn(command, args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...env },
    ...(cwd === undefined ? {} : { cwd }),
  });
  let output = '';
  const keep = (chunk: Buffer) => {
    output = `${output}${chunk}`.slice(-keptOutput);
  };
  child.stdout.on('data', keep);
  child.stderr.on('data', keep);
  let ended: string | null = null;
  const exited = new Promise<void>((resolve) => {
    child.once('error', (error) => {
      ended = error.message;
      resolve();
    });
    child.once('exit', (code, signal) => {
      ended = `it ended (${signal ?? code})`;
      resolve();
    });
  });
  const kill = () => child.kill('SIGKILL');
  process.once('exit', kill);
  const stop = async () => {
    process.off('exit', kill);
    if (ended !== null) return;
    child.kill('SIGTERM');
    const timer = setTimeout(kill, stopMs);
    await exited;
    clearTimeout(timer);
  };
  const deadline = performance.now() + startMs;
  while (!(await ready(port, output))) {
    if (ended === null && performance.now() < deadline) {
      await new Promise((resolve) => setTimeout(resolve, lookMs));
      continue;
    }
    const why = ended ?? `it does not serve port ${port} after ${startMs} ms`;
    await stop();
    throw new Error(`${command}: ${why}\n${output}`);
  }
  return { port, pid: child.pid ?? 0, output: () => output, stop };
}

function takesConnections(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => resolve(true));
    socket.once('error', () => resolve(false));
    socket.once('close', () => socket.destroy());
    socket.once('connect', () => socket.destroy());
  });
}

/** Where daemons are that a user's PATH leaves out. */
const more = ['/usr/local/sbin', '/usr/sbin', '/sbin'];

/**
 * The path of a server's program, else null, said loudly, so that its tests can be skipped:
 * `const nginx = serverCommand('nginx', 'nginx'); describe.skipIf(!nginx)(...)`. With REQUIRE_SERVERS=1, as `.ci/run`
 * sets it, that is a failure.
 */
export function serverCommand(name: string, debianPackage: string): string | null {
  const folders = [...(process.env.PATH ?? '').split(delimiter), ...more];
  const found = folders.map((folder) => join(folder, name)).find((path) => existsSync(path));
  return found ?? serverMissing(name, debianPackage);
}

/** For what is missing in another way than by its program: throws or says so, and answers null. */
export function serverMissing(what: string, debianPackage: string): null {
  const why = `this machine has no ${what}: apt-get install ${debianPackage}`;
  if (process.env.REQUIRE_SERVERS === '1') throw new Error(`REQUIRE_SERVERS=1, and ${why}`);
  console.warn(`\n${'#'.repeat(80)}\n# SKIPPED: tests on ${what}. ${why}\n${'#'.repeat(80)}\n`);
  return null;
}
