import { readdir, readFile } from 'node:fs/promises';
import type { Sample } from './flat.ts';
import type { LiveHeap } from './live-heap.ts';

/** A process with its children, as it is looked at. */
export interface Watched {
  readonly name: string;
  readonly pid: number;
  /** Where ours can be asked for what it still holds; null for another's server. */
  readonly heap: LiveHeap | null;
  /**
   * What it must stay below. Of another's server that is all that can be asked: a JVM fills its heap, PostgreSQL's
   * backends their caches of open files, one for each partition and index.
   */
  readonly bound: { readonly mb: number; readonly descriptors: number };
}

export interface Growth {
  /** MB that are left when the garbage is gone. */
  readonly live: Sample[];
  /** MB (10^6 bytes) of memory that is its own: not files, not what PostgreSQL's processes share. */
  readonly memory: Sample[];
  readonly descriptors: Sample[];
}

export async function lookAt(
  { pid, heap }: Watched,
  into: Growth,
  atMs: number,
  deep: boolean,
): Promise<void> {
  const pids = await familyOf(pid);
  const memory = await Promise.all(pids.map(anonymousMb));
  const descriptors = await Promise.all(pids.map(openDescriptors));
  into.memory.push({ atMs, value: sum(memory) });
  if (deep && heap) into.live.push({ atMs, value: await heap.liveMb() });
  into.descriptors.push({ atMs, value: sum(descriptors) });
}

/** The process and those it started, theirs too. */
async function familyOf(pid: number): Promise<number[]> {
  const text = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8').catch(() => '');
  const below = await Promise.all(
    text
      .split(' ')
      .filter(Boolean)
      .map((child) => familyOf(Number(child))),
  );
  return [pid, ...below.flat()];
}

async function anonymousMb(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
  return (Number(/^RssAnon:\s+(\d+) kB/m.exec(status)?.[1] ?? 0) * 1024) / 1e6;
}

async function openDescriptors(pid: number): Promise<number> {
  return (await readdir(`/proc/${pid}/fd`).catch(() => [])).length;
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
