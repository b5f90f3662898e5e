import { mkdir, stat } from 'node:fs/promises';
import { dirname } from 'node:path';

/**
 * Makes a folder and those above it. Node's own `recursive` answers ENOENT on a read-only disk and never ends on
 * some file systems (seen with Node 24 in /proc); this one passes the system's own answer on.
 */
export async function makeFolder(path: string, mode = 0o777): Promise<void> {
  const found = await stat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw error;
    return null;
  });
  if (found?.isDirectory()) return;
  if (!found && dirname(path) !== path) await makeFolder(dirname(path), mode);
  await mkdir(path, { mode }).catch(async (error: NodeJS.ErrnoException) => {
    // Somebody else may have been faster.
    const made = error.code === 'EEXIST' && (await stat(path)).isDirectory();
    if (!made) throw error;
  });
}
