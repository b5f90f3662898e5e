import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile, realpath, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { root } from '../harness/imports.ts';
import { until } from '../hub/ingest/until.ts';

const frontDoor = join(root, 'dist/parallax.js');

/** The commands of dist/ are what is tested: built anew, once a test file. */
export async function buildOnce(): Promise<void> {
  await promisify(execFile)(process.execPath, [join(root, 'deploy/build.mjs'), '--quiet']);
}

export interface UpProcess {
  readonly child: ChildProcess;
  /** All it printed so far. */
  output(): string;
  /** Resolves with the match once it printed such a line; rejects with what it printed where it ends or `timeoutMs` pass. */
  says(line: RegExp, timeoutMs?: number): Promise<RegExpExecArray>;
  /** The id of a component's process now, as it last told. */
  pidOf(component: string): number;
  /** SIGINT to its group, as a terminal sends it. Resolves to the exit code. */
  ctrlC(): Promise<number | null>;
  /** For afterAll: whatever happened, it is gone. */
  end(): Promise<void>;
}

export function startUp(
  data: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
  by: 'node' | 'npm' = 'node',
): UpProcess {
  const [file, ...before] =
    by === 'npm'
      ? (['npm', 'start', '--silent', '--'] as const)
      : ([process.execPath, '--enable-source-maps', frontDoor, 'up'] as const);
  const child = spawn(file, [...before, '--data', data, ...args], {
    cwd: root,
    env: { ...process.env, DATABASE_URL: '', KAFKA_BROKERS: '', NO_COLOR: '1', ...env },
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let text = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (part: string) => {
      text += part;
    });
  }
  const ended = once(child, 'exit');
  const signal = (name: NodeJS.Signals) => {
    if (child.exitCode === null && child.pid) process.kill(-child.pid, name);
  };
  return {
    child,
    output: () => text,
    async says(line, timeoutMs = 60_000) {
      await until(() => line.test(text) || child.exitCode !== null, timeoutMs).catch(() => undefined);
      const found = line.exec(text);
      if (!found) throw new Error(`waited for ${line}, and it said:\n${text}`);
      return found;
    },
    pidOf(component) {
      const lines = text.split('\n').filter((line) => line.startsWith(`${component} `));
      const pids = lines.flatMap((line) => /\(process (\d+)\)/.exec(line)?.[1] ?? []);
      const pid = pids.at(-1);
      if (pid === undefined) throw new Error(`${component} told no process id:\n${text}`);
      return Number(pid);
    },
    async ctrlC() {
      signal('SIGINT');
      await ended;
      return child.exitCode;
    },
    async end() {
      signal('SIGINT');
      const late = setTimeout(() => signal('SIGKILL'), 20_000);
      if (child.exitCode === null) await ended;
      clearTimeout(late);
    },
  };
}

export interface CliAnswer {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a command of the binary to its end. */
export async function cli(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<CliAnswer> {
  const run = promisify(execFile)(process.execPath, [frontDoor, ...args], {
    env: { ...process.env, NO_COLOR: '1', ...env },
    timeout: 60_000,
    maxBuffer: 64 * 1024 * 1024,
  });
  try {
    return { code: 0, ...(await run) };
  } catch (error) {
    const { code, stdout = '', stderr = '' } = error as { code?: number } & Partial<CliAnswer>;
    return { code: typeof code === 'number' ? code : -1, stdout, stderr };
  }
}

/** What `--json` printed. */
export function jsonLines<T>({ stdout }: CliAnswer): T[] {
  return stdout
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line) as T);
}

/** A variable in the environment of a process that runs. */
export async function environmentOf(pid: number, name: string): Promise<string> {
  const pairs = (await readFile(`/proc/${pid}/environ`, 'utf8')).split('\0');
  return pairs.find((pair) => pair.startsWith(`${name}=`))?.slice(name.length + 1) ?? '';
}

/** Where the tests run as root the database lies elsewhere, behind a link. */
export async function forgetData(data: string): Promise<void> {
  const postgres = await realpath(join(data, 'postgres')).catch(() => null);
  if (postgres !== null) await rm(postgres, { recursive: true, force: true });
}
