import { randomUUID } from 'node:crypto';
import { link, readFile, readlink, rm, stat, utimes, writeFile } from 'node:fs/promises';
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
  /** The machine's start and the process namespace: in another one a process id says nothing. */
  readonly space: string;
}

/** Whoever holds the lock touches it so often: what two containers with one volume see of each other. */
const beatMs = 1000;
/** Without a beat for so long its holder is gone. */
const silentMs = 5000;

/** Longer than another process takes from finding a dead lock to putting its own in its place. */
const settleMs = 200;

/** Null where a living process holds it; `heldBy` then says which. A lock of a process that was killed is taken over. */
export async function lockFolder(
  folder: string,
): Promise<{ readonly lock: FolderLock } | { readonly lock: null; readonly heldBy: number }> {
  const file = join(folder, 'lock');
  // In two containers both may be process 1.
  const draft = `${file}.${randomUUID()}`;
  const own: Holder = { pid: process.pid, began: await beganAt(process.pid), space: await spaceHere() };
  const mine = JSON.stringify(own);
  await writeFile(draft, mine, { mode: 0o600 });
  let takenOver = false;
  try {
    for (let attempt = 0; attempt < 10; attempt += 1) {
      if (await linked(draft, file)) {
        // Two that found the same dead lock: whose link was removed by the other sees it here.
        if (takenOver) await sleep(settleMs);
        if ((await readFile(file, 'utf8').catch(() => '')) === mine) {
          return { lock: held(file) };
        }
      }
      const holder = parseHolder(await readFile(file, 'utf8').catch(() => ''));
      if (holder && (await lives(holder, own.space, file))) return { lock: null, heldBy: holder.pid };
      takenOver = true;
      await rm(file, { force: true });
    }
    throw new Error(`${file} keeps coming back: is another process starting here again and again?`);
  } finally {
    await rm(draft, { force: true });
  }
}

function held(file: string): FolderLock {
  const beat = setInterval(() => {
    const now = new Date();
    // A full or read-only disk: the lock stands all the same.
    utimes(file, now, now).catch(() => undefined);
  }, beatMs);
  beat.unref();
  return {
    release() {
      clearInterval(beat);
      return rm(file, { force: true });
    },
  };
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
    const { pid, began, space = '' } = JSON.parse(text) as Partial<Holder>;
    const whole = Number.isInteger(pid) && pid !== undefined && typeof began === 'string';
    return whole && typeof space === 'string' ? { pid, began, space } : null;
  } catch {
    return null;
  }
}

async function lives({ pid, began, space }: Holder, spaceHere: string, file: string): Promise<boolean> {
  // In another container, or before this machine's last start: there process ids count from 1 again.
  if (space !== spaceHere) return beats(file);
  if (pid === process.pid) return false;
  try {
    process.kill(pid, 0);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ESRCH') return false;
    // A runtime that may neither signal nor look (Deno without --allow-all): its beat tells.
    if (began === '') return beats(file);
  }
  return (await beganAt(pid)) === began;
}

/** Just now: two beats missed at most. Else it is watched, since a clock may have been set. */
const freshMs = 3000;

/** Whether a process lives that holds this folder: asked from outside, without a look at process ids. */
export async function isBeating(folder: string): Promise<boolean> {
  const file = join(folder, 'lock');
  const touchedMs = await stat(file).then(
    ({ mtimeMs }) => mtimeMs,
    () => null,
  );
  if (touchedMs === null) return false;
  return Math.abs(Date.now() - touchedMs) < freshMs || beats(file);
}

/** Whether its holder touches the lock, or has put another in its place. */
async function beats(file: string): Promise<boolean> {
  const touched = () =>
    stat(file).then(
      ({ mtimeMs }) => mtimeMs,
      () => null,
    );
  const first = await touched();
  for (let waitedMs = 0; waitedMs < silentMs && first !== null; waitedMs += 250) {
    await sleep(250);
    const now = await touched();
    if (now !== first) return now !== null;
  }
  return false;
}

/** Empty for what this system does not tell. */
async function spaceHere(): Promise<string> {
  const boot = await readFile('/proc/sys/kernel/random/boot_id', 'utf8').catch(() => '');
  const namespace = await readlink('/proc/self/ns/pid').catch(() => '');
  return `${boot.trim()} ${namespace}`.trim();
}

/** Field 22 of /proc/PID/stat; a zombie counts as gone. Empty where there is no /proc. */
async function beganAt(pid: number): Promise<string> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return fields[0] === 'Z' ? 'gone' : (fields[19] ?? '');
}
