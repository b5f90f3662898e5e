import { type ChildProcess, spawn } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { cpuSeconds, memoryMb } from '../process-figures.ts';

/** One replica as an operator runs it. */
export interface HubProcess {
  readonly pid: number;
  readonly port: number;
  /** From its start to the first good answer of /readyz. */
  readonly readyMs: number;
  /** CPU used so far and memory now and at its highest. */
  figures(): Promise<{ readonly cpuSeconds: number; readonly rssMb: number; readonly peakMb: number }>;
  /** What it wrote: nothing below warn. */
  readonly complaints: readonly string[];
  /** SIGTERM or SIGKILL; resolves when it is gone. */
  stop(signal?: NodeJS.Signals): Promise<void>;
}

const readyWithinMs = 180_000;

export async function startHubProcess(options: {
  readonly bundle: string;
  readonly env: Readonly<Record<string, string>>;
  readonly port: number;
  /** For Node, such as --cpu-prof. */
  readonly flags?: readonly string[];
}): Promise<HubProcess> {
  const { bundle, env, port, flags = [] } = options;
  const startedMs = performance.now();
  const pinned = availableParallelism() > 1 ? ['taskset', '-c', '0'] : [];
  const [command = process.execPath, ...rest] = [
    ...pinned,
    process.execPath,
    ...flags,
    bundle,
    'hub',
    '--listen',
    `127.0.0.1:${port}`,
  ];
  const child = spawn(command, rest, {
    env: { ...process.env, ...env, MALLOC_ARENA_MAX: '2' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const complaints: string[] = [];
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      if (complaints.length < 1000) complaints.push(...text.split('\n').filter(Boolean));
    });
  }
  const gone = new Promise<void>((done) => child.once('exit', () => done()));
  await untilReady(port, child, complaints);
  const pid = child.pid ?? 0;
  return {
    pid,
    port,
    readyMs: performance.now() - startedMs,
    complaints,
    async figures() {
      const memory = await memoryMb(pid);
      return { cpuSeconds: await cpuSeconds(pid), rssMb: memory.now, peakMb: memory.peak };
    },
    async stop(signal = 'SIGTERM') {
      if (child.exitCode === null) child.kill(signal);
      await gone;
    },
  };
}

async function untilReady(port: number, child: ChildProcess, complaints: readonly string[]): Promise<void> {
  const deadline = performance.now() + readyWithinMs;
  while (performance.now() < deadline && child.exitCode === null) {
    const ready = await fetch(`http://127.0.0.1:${port}/readyz`).then(
      (answer) => answer.ok,
      () => false,
    );
    if (ready) return;
    await sleep(20);
  }
  child.kill('SIGKILL');
  throw new Error(`the hub did not become ready: ${complaints.slice(-3).join(' ')}`);
}
