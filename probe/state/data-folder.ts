import { chmod, mkdir, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Failed } from '../../shared/command-line.ts';
import { lockFolder } from './folder-lock.ts';

/** Everything a probe keeps: `--data`, its own alone. */
export interface DataFolder {
  readonly path: string;
  readonly key: string;
  readonly identity: string;
  readonly keySet: string;
  readonly lease: string;
  readonly assignments: string;
  readonly stop: string;
  readonly spool: string;
  release(): Promise<void>;
}

/** Makes the folder where it is missing and locks it. Throws Failed with what to do where that is not possible. */
export async function openDataFolder(path: string): Promise<DataFolder> {
  try {
    await makeFolder(path);
    // Keys lie in it: no one else looks in, also where somebody made the folder beforehand.
    if (((await stat(path)).mode & 0o077) !== 0) await chmod(path, 0o700);
    await makeFolder(join(path, 'assignments'));
    const { lock, ...held } = await lockFolder(path);
    if (!lock) {
      const pid = 'heldBy' in held ? held.heldBy : '';
      throw new Failed(
        `${path} is in use by another probe (process ${pid}): stop it, or give this one a folder of its own with --data`,
      );
    }
    return {
      path,
      key: join(path, 'key.pem'),
      identity: join(path, 'identity.json'),
      keySet: join(path, 'keyset.json'),
      lease: join(path, 'lease.json'),
      assignments: join(path, 'assignments'),
      stop: join(path, 'stop.json'),
      spool: join(path, 'spool'),
      release: lock.release,
    };
  } catch (error) {
    throw new Failed(folderProblem(path, error), { cause: error });
  }
}

/** What an error of the disk means for the person who runs the probe. */
export function folderProblem(path: string, error: unknown): string {
  if (error instanceof Failed) return error.message;
  const { code, message } = error as NodeJS.ErrnoException;
  switch (code) {
    case 'EROFS':
      return `the disk of ${path} is read-only: a probe keeps its key and its results there, give it a writable folder with --data`;
    case 'EACCES':
    case 'EPERM':
      return `${path} may not be written by this user: change its owner, or give another folder with --data`;
    case 'ENOSPC':
    case 'EDQUOT':
      return `the disk of ${path} is full: free some space (what is there already is kept)`;
    case 'ENOTDIR':
    case 'EEXIST':
      return `${path} is not a folder: give one with --data`;
    default:
      return `${path}: ${message}`;
  }
}

/**
 * Node's own `recursive` answers ENOENT on a read-only disk and never ends on some file systems (seen with Node 24
 * in /proc); this one passes the system's own answer on.
 */
async function makeFolder(path: string): Promise<void> {
  const found = await stat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw error;
    return null;
  });
  if (found?.isDirectory()) return;
  if (!found && dirname(path) !== path) await makeFolder(dirname(path));
  await mkdir(path, { mode: 0o700 }).catch(async (error: NodeJS.ErrnoException) => {
    const made = error.code === 'EEXIST' && (await stat(path)).isDirectory();
    if (!made) throw error;
  });
}
