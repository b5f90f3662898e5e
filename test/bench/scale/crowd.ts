import { type ChildProcess, spawn } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Network } from './network.ts';
import type { PollArguments, PollOrder, PollSecond, PollShard } from './poll-child.ts';

/** All probes of a network, polling, in two processes on the second core. */
export interface Crowd {
  /** Seconds since the last call, both processes added up, in order. */
  seconds(): readonly CrowdSecond[];
  /** Probes that have all they were told of. */
  settled(): number;
  /** Resolves with how long it took until `count` probes are settled; rejects after `withinMs`. */
  untilSettled(count: number, withinMs: number): Promise<number>;
  order(order: PollOrder): void;
  /** Shards that were fetched since the last call. */
  shards(): readonly PollShard[];
  stop(): Promise<void>;
}

export type CrowdSecond = Omit<PollSecond, 'kind' | 'settled'>;

export function startCrowd(network: Network, ports: readonly number[], spreadMs: number): Crowd {
  const { size, publicUrl } = network;
  const half = Math.ceil(size.probes / 2);
  const shares = [
    [1, half],
    [half + 1, size.probes],
  ] as const;
  const settled = [0, 0];
  let seconds: CrowdSecond[][] = [[], []];
  let shards: PollShard[] = [];
  const children = shares.map(([from, to], index) => {
    const child = start({ from, to, regions: size.regions, publicUrl, ports, spreadMs });
    createInterface(child.stdout ?? process.stdin).on('line', (text) => {
      const told = JSON.parse(text) as PollSecond | PollShard;
      if (told.kind === 'shard') shards.push(told);
      else {
        settled[index] = told.settled;
        seconds[index]?.push(told);
      }
    });
    return child;
  });
  const settledNow = () => settled.reduce((sum, each) => sum + each, 0);
  return {
    seconds() {
      const [one = [], other = []] = seconds;
      seconds = [[], []];
      return one.map((each, at) => add(each, other[at]));
    },
    settled: settledNow,
    async untilSettled(count, withinMs) {
      const startedMs = performance.now();
      while (settledNow() < count) {
        if (performance.now() - startedMs > withinMs) {
          throw new Error(`${settledNow()} of ${count} probes had all they need after ${withinMs} ms`);
        }
        await sleep(100);
      }
      return performance.now() - startedMs;
    },
    order(order) {
      if (order.anew) settled.fill(0);
      for (const child of children) child.stdin?.write(`${JSON.stringify(order)}\n`);
    },
    shards() {
      const told = shards;
      shards = [];
      return told;
    },
    async stop() {
      await Promise.all(
        children.map((child) => {
          const gone = new Promise((done) => child.once('exit', done));
          child.kill('SIGKILL');
          return gone;
        }),
      );
    },
  };
}

function start(args: PollArguments): ChildProcess {
  const pinned = availableParallelism() > 1 ? ['taskset', '-c', '1'] : [];
  const [command = process.execPath, ...rest] = [
    ...pinned,
    process.execPath,
    join(import.meta.dirname, 'poll-child.ts'),
    JSON.stringify(args),
  ];
  return spawn(command, rest, { stdio: ['pipe', 'pipe', 'inherit'] });
}

function add(one: CrowdSecond, other: CrowdSecond | undefined): CrowdSecond {
  if (!other) return one;
  const errors: Record<string, number> = { ...one.errors };
  for (const [what, count] of Object.entries(other.errors)) errors[what] = (errors[what] ?? 0) + count;
  return {
    leases: one.leases + other.leases,
    answers: one.answers + other.answers,
    assignmentBytes: one.assignmentBytes + other.assignmentBytes,
    errors,
  };
}
