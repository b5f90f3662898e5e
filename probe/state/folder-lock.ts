import { link, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** One process a folder. The hub locks its folder in the same way: two copies, as what does I/O is not shared. */
export interface FolderLock {
  release(): Promise<void>;
}

interface Holder {
  readonly pid: number;
  /** When the process began, in the system's own count: a process id alone may meanwhile belong to another. */
  readonly began: string;
}

/** Longer than another process takes from finding a dead lock to putting its own in its place. */
const settleMs = 200;

/** Null where a living process holds it; `heldBy` then says which. A lock of a process that was killed is taken over. */
export async function lockFolder(
  folder: string,
): Promise<{ readonly lock: FolderLock } | { readonly lock: null; readonly heldBy: number }> {
  const file = join(folder, 'lock');
  const draft = `${file}.${process.pid}`;
  const mine = JSON.stringify({ pid: process.pid, began: await beganAt(process.pid) } satisfies Holder);
  await writeFile(draft, mine, { mode: 0o600 });
  let takenOver = false;
  try {
    for (let attempt = 0; attempt < 10; attempt += 1) {
      if (await linked(draft, file)) {
        // Two that found the same dead lock: whose link was removed by the other sees it here.
        if (takenOver) await sleep(settleMs);
        if ((await readFile(file, 'utf8').catch(() => '')) === mine) {
          return { lock: { release: () => rm(file, { force: true }) } };
        }
      }
      const holder = parseHolder(await readFile(file, 'utf8').catch(() => ''));
      if (holder && (await lives(holder))) return { lock: null, heldBy: holder.pid };
      takenOver = true;
      await rm(file, { force: true });
    }
    throw new Error(`${file} keeps coming back: is another process starting here again and again?`);
  } finally {
    await rm(draft, { force: true });
  }
}

function linked(draft: string, file: string): Promise<boolean> {
  return link(draft, file).then(
    () => true,
    (error: NodeJS.ErrnoException) => {
      if (error.code === 'EEXIST') return false;
      throw error;
    },
  );
}

function parseHolder(text: string): Holder | null {
  try {
    const { pid, began } = JSON.parse(text) as Partial<Holder>;
    return Number.isInteger(pid) && pid !== undefined && typeof began === 'string' ? { pid, began } : null;
  } catch {
    return null;
  }
}

async function lives({ pid, began }: Holder): Promise<boolean> {
  // Our own id in an old lock: a container's processes count from 1 again at each start.
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
