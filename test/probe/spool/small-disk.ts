import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface SmallDisk {
  readonly path: string;
  readOnly(yes: boolean): void;
  remove(): void;
}

/** A real file system of this size, which needs the right to mount; null, said loudly, where there is none. */
export function smallDisk(kilobytes: number): SmallDisk | null {
  const path = mkdtempSync(join(tmpdir(), 'parallax-disk-'));
  const run = (...args: string[]) => execFileSync('mount', args, { stdio: 'pipe' });
  try {
    run('-t', 'tmpfs', '-o', `size=${kilobytes}k`, 'tmpfs', path);
  } catch (error) {
    rmSync(path, { recursive: true });
    console.warn(`\n# SKIPPED: tests on a full disk need the right to mount one: ${error}\n`);
    return null;
  }
  return {
    path,
    readOnly: (yes) => void run('-o', `remount,${yes ? 'ro' : 'rw'}`, path),
    remove() {
      execFileSync('umount', ['-l', path], { stdio: 'pipe' });
      rmSync(path, { recursive: true });
    },
  };
}
