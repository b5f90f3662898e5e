import { execFile } from 'node:child_process';
import { mkdir, rm } from 'node:fs/promises';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** A file system in memory of a size of its own. */
export interface SmallMount {
  readonly path: string;
  /** Space is found, while whoever writes there goes on. */
  grow(): Promise<void>;
  remove(): Promise<void>;
}

/** Why this machine can have none, or null. */
export async function cannotMount(folder: string): Promise<string | null> {
  try {
    const mount = await makeMount(`${folder}/may-mount`, 64);
    await mount.remove();
    return null;
  } catch {
    return 'a full disk needs the right to mount a small one (root)';
  }
}

async function makeMount(path: string, kilobytes: number): Promise<SmallMount> {
  await mkdir(path, { recursive: true });
  await run('mount', ['-t', 'tmpfs', '-o', `size=${kilobytes}k,mode=711`, 'tmpfs', path]);
  return {
    path,
    async grow() {
      await run('mount', ['-o', 'remount,size=4g', path]);
    },
    async remove() {
      await run('umount', ['-l', path]);
      await rm(path, { recursive: true, force: true });
    },
  };
}

/** A small disk with what lies in `from`, owners and links as they are, and so much room beside it. */
export async function mountWithCopy(from: string, path: string, spareKilobytes: number): Promise<SmallMount> {
  const { stdout } = await run('du', ['-sk', '--apparent-size', from]);
  const blocks = Number((await run('du', ['-sk', from])).stdout.split('\t')[0]);
  const used = Math.max(blocks, Number(stdout.split('\t')[0]));
  // Copied with room, then as small as it is to be.
  const mount = await makeMount(path, used * 2 + 65_536);
  try {
    await run('cp', ['-a', `${from}/.`, path]);
    const taken = Number((await run('du', ['-sk', path])).stdout.split('\t')[0]);
    await run('mount', ['-o', `remount,size=${taken + spareKilobytes}k`, path]);
    return mount;
  } catch (error) {
    await mount.remove();
    throw error;
  }
}

/** Puts a folder back where it was, from the small disk. */
export async function copyBack(path: string, to: string): Promise<void> {
  await rm(to, { recursive: true, force: true });
  await mkdir(to, { recursive: true });
  await run('cp', ['-a', `${path}/.`, to]);
}

/** A plain copy that keeps owners, for a server that runs as another user. */
export async function copyAs(from: string, to: string): Promise<void> {
  await rm(to, { recursive: true, force: true });
  await run('cp', ['-a', from, to]);
}
