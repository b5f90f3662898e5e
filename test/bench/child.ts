import { type ChildProcess, spawn } from 'node:child_process';
import { availableParallelism } from 'node:os';

/** What is measured runs on the first core, what it is measured against and with on the second. */
export type Core = 'measured' | 'other';

export interface BenchChild {
  readonly process: ChildProcess;
  readonly pid: number;
  /** Its next message. Rejects where it ends first or `timeoutMs` pass. */
  next<T>(timeoutMs: number): Promise<T>;
  stop(): Promise<void>;
}

/** Runs `file` on a core of its own, or with null on any, and speaks to it in lines of JSON. */
export function startChild(core: Core | null, file: string, args: readonly string[]): BenchChild {
  const pins = core !== null && availableParallelism() > 1;
  const pinned = pins ? ['taskset', '-c', core === 'measured' ? '0' : '1'] : [];
  const [command = file, ...rest] = [...pinned, file, ...args];
  const child = spawn(command, rest, { stdio: ['ignore', 'pipe', 'inherit'] });
  const lines: string[] = [];
  let waiting: ((line: string | null) => void) | null = null;
  let tail = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    const parts = (tail + text).split('\n');
    tail = parts.pop() ?? '';
    for (const line of parts.filter((each) => each.startsWith('{'))) {
      if (waiting) waiting(line);
      else lines.push(line);
    }
  });
  const ended = new Promise<void>((done) => child.once('exit', () => done()));
  void ended.then(() => waiting?.(null));
  return {
    process: child,
    pid: child.pid ?? 0,
    async next<T>(timeoutMs: number) {
      const line =
        lines.shift() ??
        (await new Promise<string | null>((done) => {
          const timer = setTimeout(() => done(null), timeoutMs);
          waiting = (given) => {
            clearTimeout(timer);
            waiting = null;
            done(given);
          };
          if (child.exitCode !== null) waiting(null);
        }));
      if (line === null) throw new Error(`${file} ${args.join(' ')} said nothing`);
      return JSON.parse(line) as T;
    },
    async stop() {
      child.kill('SIGTERM');
      await ended;
    },
  };
}
