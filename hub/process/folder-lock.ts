import { link, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

export interface FolderLock {
  release(): Promise<void>;
}

interface Holder {
  readonly pid: number;
  /** When the process began, in the system's own count: a process id alone may meanwhile belong to another. */
  readonly began: string;
}

/** Null where a living process holds it; `found` then says which. A lock of a process that was killed is taken over. */
export async function lockFolder(
  folder: string,
  name = 'lock',
): Promise<{ lock: FolderLock; stale: boolean } | { lock: null; heldBy: number }> {
  const file = join(folder, name);
  const draft = `${file}.${process.pid}`;
  const mine: Holder = { pid: process.pid, began: await beganAt(process.pid) };
  await writeFile(draft, JSON.stringify(mine), { mode: 0o600 });
  let stale = false;
  try {
    for (let attempt = 0; attempt < 10; attempt += 1) {
      const taken = await link(draft, file).then(
        () => true,
        (error: NodeJS.ErrnoException) => {
          if (error.code === 'EEXIST') return false;
          throw error;
        },
      );
      if (taken) return { lock: { release: () => rm(file, { force: true }) }, stale };
      const holder = await readHolder(file);
      if (holder && (await lives(holder))) return { lock: null, heldBy: holder.pid };
      stale = true;
      await rm(file, { force: true });
    }
    throw new Error(`${file} keeps coming back: is another process starting here again and again?`);
  } finally {
    await rm(draft, { force: true });
  }
}

async function readHolder(file: string): Promise<Holder | null> {
  const text = await readFile(file, 'utf8').catch(() => '');
  try {
    const { pid, began } = JSON.parse(text) as Partial<Holder>;
    return Number.isInteger(pid) && pid !== undefined && typeof began === 'string' ? { pid, began } : null;
  } catch {
    return null;
  }
}

async function lives({ pid, began }: Holder): Promise<boolean> {
  if (pid === process.pid) return false;
  try {
    process.kill(pid, 0);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ESRCH') return false;
  }
  return (await beganAt(pid)) === began;
}

/** Field 22 of /proc/PID/stat; a zombie counts as gone. Empty where there is no /proc. */
async function beganAt(pid: number): Promise<string> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return fields[0] === 'Z' ? 'gone' : (fields[19] ?? '');
}
