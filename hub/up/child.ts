import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import type { Running } from '../process/supervise.ts';
import { endsWithin, startTethered, stopTethered } from '../process/tethered.ts';
import { boundLog, lastWords, sizeOf, withLog } from './log.ts';

/** A command of this same binary, as it would run alone. */
export interface ChildCommand {
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly logFile: string;
}

const logCheckMs = 60_000;

/** Resolves once `ready` does; rejects with its last words where it ends before that. */
export async function startChild(
  { argv, env, logFile }: ChildCommand,
  ready: (signal: AbortSignal) => Promise<void>,
  signal: AbortSignal,
): Promise<Running> {
  await boundLog(logFile);
  const fromByte = await sizeOf(logFile);
  const child = await withLog(logFile, (output) =>
    startTethered({
      file: process.execPath,
      args: [frontDoor(), ...argv],
      stopSignal: 'SIGTERM',
      output,
      env: { ...process.env, ...env },
      cwd: process.cwd(),
    }),
  );
  const bounding = setInterval(() => void boundLog(logFile).catch(() => undefined), logCheckMs);
  void child.exited.then(() => clearInterval(bounding));
  const stop = async (withinMs: number) => {
    await stopTethered(child, [
      ['SIGTERM', withinMs],
      ['SIGKILL', 1000],
    ]);
  };
  const waiting = new AbortController();
  try {
    const ended = child.exited.then(async () => {
      throw new Error(await lastWords(logFile, fromByte));
    });
    await Promise.race([ready(AbortSignal.any([signal, waiting.signal])), ended]);
    ended.catch(() => undefined);
    return { pid: child.pid, exited: child.exited, stop };
  } catch (error) {
    waiting.abort();
    if (!(await endsWithin(child.exited, 0))) await stop(3000);
    throw error;
  }
}

/** Runs a command to its end and gives what it printed. Rejects with what it complained of. */
export async function runCommand(
  argv: readonly string[],
  env: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<string> {
  try {
    const { stdout } = await promisify(execFile)(process.execPath, [frontDoor(), ...argv], {
      env: { ...process.env, ...env },
      signal,
      timeout: 60_000,
      maxBuffer: 16 * 1024 * 1024,
    });
    return stdout;
  } catch (error) {
    const { stderr = '', message } = error as Error & { stderr?: string };
    throw new Error(stderr.trim().replace(/^parallax: /, '') || message, { cause: error });
  }
}

function frontDoor(): string {
  const file = process.argv[1];
  if (file === undefined) throw new Error('started without a file: run parallax up');
  return file;
}
