import { randomBytes } from 'node:crypto';
import { chmod, lstat, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { makeFolder } from '../process/folder.ts';
import { type FolderLock, lockFolder } from '../process/folder-lock.ts';

/** Where everything of one `parallax up` lies. */
export interface Home {
  readonly folder: string;
  readonly postgres: string;
  readonly keys: string;
  readonly demo: string;
  /** base64, 32 bytes: seals credentials at rest; empty where the environment brings it. */
  readonly secret: string;
  /** An earlier start was killed: what it started may still be ending. */
  readonly afterKill: boolean;
  readonly lock: FolderLock;
  probe(region: string): string;
  log(name: string): string;
}

/** Makes the folder where it is missing. Throws one line where it cannot be had. */
export async function openHome(
  folder: string,
  env: Readonly<Record<string, string | undefined>> = {},
): Promise<Home> {
  try {
    await makeFolder(folder, 0o700);
    // Root's database runs as another user, who must pass through; what lies inside has its own modes.
    await chmod(folder, process.getuid?.() === 0 ? 0o711 : 0o700);
    const taken = await lockFolder(folder, 'up.lock');
    if (!taken.lock) {
      throw new Error(
        `parallax up already runs here (process ${taken.heldBy}): stop it, or choose another --data`,
      );
    }
    for (const name of ['logs', 'probes', 'demo']) await makeFolder(join(folder, name), 0o700);
    return {
      folder,
      postgres: join(folder, 'postgres'),
      keys: join(folder, 'keys'),
      demo: join(folder, 'demo'),
      secret: env.PARALLAX_SECRET || env.PARALLAX_SECRET_FILE ? '' : await keepSecret(folder),
      afterKill: taken.stale,
      lock: taken.lock,
      probe: (region) => join(folder, 'probes', region),
      log: (name) => join(folder, 'logs', `${name}.log`),
    };
  } catch (error) {
    throw homeProblem(error, folder);
  }
}

async function keepSecret(folder: string): Promise<string> {
  const file = join(folder, 'secret');
  const kept = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null;
    throw error;
  });
  if (kept !== null) {
    if (Buffer.from(kept.trim(), 'base64').length === 32) return kept.trim();
    throw new Error(
      `${file} does not hold 32 bytes in base64: restore it from a backup, without it the sealed credentials cannot be read`,
    );
  }
  // Made before anything else of a first start: where there is a database or keys, there was a secret.
  for (const name of ['postgres', 'keys']) {
    if (!(await exists(join(folder, name)))) continue;
    throw new Error(
      `${file} is gone, and ${join(folder, name)} is there: bring it back from a backup, for it opens the credentials in the database. Where none are kept, or they can be given again, make a new one: openssl rand -base64 32 > ${file}`,
    );
  }
  const secret = randomBytes(32).toString('base64');
  await writeFile(file, `${secret}\n`, { mode: 0o600, flag: 'wx' });
  return secret;
}

async function exists(path: string): Promise<boolean> {
  return lstat(path).then(
    () => true,
    () => false,
  );
}

function homeProblem(error: unknown, folder: string): Error {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  if (code === 'EEXIST' || code === 'ENOTDIR') {
    return new Error(`${folder} cannot be a folder, because a file is there: choose another --data`, {
      cause: error,
    });
  }
  if (code === 'EACCES' || code === 'EPERM' || code === 'EROFS' || code === 'ENOENT') {
    return new Error(
      `cannot write to ${folder} (${code}): give this user the right to, or choose another --data`,
      {
        cause: error,
      },
    );
  }
  if (code === 'ENOSPC' || code === 'EDQUOT') {
    return new Error(`no space is left on the disk of ${folder}: free some and start again`, {
      cause: error,
    });
  }
  return error instanceof Error ? error : new Error(String(error));
}
