import { chmod, chown, lstat, mkdtemp, readlink, stat, symlink, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { makeFolder } from '../../process/folder.ts';
import { type Account, canReach } from './account.ts';
import { EmbeddedPostgresError, fileProblem } from './problem.ts';

/** Where root keeps what another user must reach although the checkout is closed to others. */
export const sharedDir = '/var/lib/parallax';

/** The folders of one embedded server: `base` is ours, `data` is PostgreSQL's own. */
export interface Place {
  readonly base: string;
  readonly data: string;
}

/**
 * Makes `dataDir`, or a link from it into `sharedDir` where the account cannot reach it. The link is the authority:
 * a copy or a move of the checkout keeps its data.
 */
export async function makePlace(dataDir: string, account: Account | null): Promise<Place> {
  const wanted = resolve(dataDir);
  try {
    const base = await makeBase(wanted, account);
    return { base, data: join(base, 'data') };
  } catch (error) {
    if (error instanceof EmbeddedPostgresError) throw error;
    throw fileProblem(error, wanted);
  }
}

async function makeBase(wanted: string, account: Account | null): Promise<string> {
  await makeFolder(dirname(wanted));
  const found = await lstat(wanted).catch(() => null);
  if (found?.isSymbolicLink()) {
    const target = resolve(dirname(wanted), await readlink(wanted));
    await stat(target).catch((error: unknown) => {
      throw new EmbeddedPostgresError(
        'corrupted',
        `${wanted} leads to ${target}, which is gone: bring it back, or remove the link to begin with an empty database`,
        { cause: error },
      );
    });
    return target;
  }
  if (found || account === null || (await canReach(account, wanted))) {
    await makeFolder(wanted);
    // Another user's server must pass through; what is inside has its own modes.
    await chmod(wanted, account ? 0o711 : 0o700);
    return wanted;
  }
  await makeSharedFolder(sharedDir);
  const base = await mkdtemp(join(sharedDir, 'data-'));
  await chmod(base, 0o711);
  await writeFile(join(base, 'belongs-to'), `${wanted}\n`);
  await symlink(base, wanted);
  return base;
}

/** All may pass through it, whatever the umask it is made under. */
export async function makeSharedFolder(folder: string): Promise<void> {
  await makeFolder(folder, 0o755);
  await chmod(folder, 0o755);
}

/** Gives a new file or folder to the account. */
export async function giveTo(path: string, account: Account | null): Promise<void> {
  if (account) await chown(path, account.uid, account.gid);
}
