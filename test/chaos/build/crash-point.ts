import { readFileSync, renameSync } from 'node:fs';
import { join } from 'node:path';

/** Names the folder in which crash points are armed; without it they do nothing. */
export const crashFolderVariable = 'PARALLAX_CHAOS_CRASH';

const passed = new Map<string, number>();

/**
 * Compiled into patched builds: ends this process as a power switch would, where this point is armed by a file of its
 * name. The file says how many times it is passed first. One process takes it, and it hits once.
 */
export function crashPoint(name: string): void {
  const folder = process.env[crashFolderVariable];
  if (!folder) return;
  const file = join(folder, name);
  let passes: number;
  try {
    passes = Number(readFileSync(file, 'utf8')) || 0;
  } catch {
    return;
  }
  const before = passed.get(name) ?? 0;
  passed.set(name, before + 1);
  if (before < passes) return;
  try {
    renameSync(file, `${file}.hit-${process.pid}`);
  } catch {
    // Another replica was faster.
    return;
  }
  process.kill(process.pid, 'SIGKILL');
  // A signal to oneself arrives before the call returns, by POSIX, in this thread or in another.
  for (;;) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1000);
}

/** The statements of a migration one by one, so that one may end between any two of them; none of ours holds `$$`. */
export function statementsOf(text: string): string[] {
  if (text.includes('$$')) throw new Error('a migration with a dollar quote is not split');
  return text
    .replace(/^\s*--.*$/gm, '')
    .split(/;[ \t]*(?:\n|$)/)
    .map((part) => part.trim())
    .filter((part) => part !== '');
}
