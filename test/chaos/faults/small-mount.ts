import { execFile } from 'node:child_process';
import { mkdir, rename, rm } from 'node:fs/promises';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** A folder that lies on a small file system for a while, under its own name. */
export interface OnSmallDisk {
  /** Space is found, while whoever writes there goes on. */
  grow(): Promise<void>;
  /** Puts it back where it was. Nobody may write there. */
  putBack(): Promise<void>;
}

/** Why this machine can have none, or null. */
export async function cannotMount(folder: string): Promise<string | null> {
  const path = `${folder}/may-mount`;
  await mkdir(path, { recursive: true });
  try {
    await run('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', path]);
    await run('umount', ['-l', path]);
    return null;
  } catch {
    return 'a full disk needs the right to mount a small one (root)';
  } finally {
    await rm(path, { recursive: true, force: true });
  }
}

/** Moves what a stopped server keeps in `path` to a disk with so much room beside it, owners and modes as they are. */
export async function putOnSmallDisk(path: string, spareKilobytes: number): Promise<OnSmallDisk> {
  const whole = `${path}.whole`;
  await rename(path, whole);
  const kilobytes = async (of: string) => Number((await run('du', ['-sk', of])).stdout.split('\t')[0]);
  const size = async (kilo: number) => {
    await run('mount', ['-o', `remount,size=${kilo}k`, path]);
  };
  await mkdir(path);
  await run('mount', ['-t', 'tmpfs', '-o', `size=${(await kilobytes(whole)) * 2 + 65_536}k`, 'tmpfs', path]);
  await run('cp', ['-a', `${whole}/.`, path]);
  await size((await kilobytes(path)) + spareKilobytes);
  return {
    grow: () => size(4 * 1024 * 1024),
    async putBack() {
      await rm(whole, { recursive: true });
      await run('cp', ['-a', path, whole]);
      await run('umount', ['-l', path]);
      await rm(path, { recursive: true });
      await rename(whole, path);
    },
  };
}
