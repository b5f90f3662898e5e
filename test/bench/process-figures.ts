import { readFile } from 'node:fs/promises';

/** Clock ticks a second of /proc: 100 on every Linux that Node runs on. */
const ticksASecond = 100;

/** CPU seconds a process has used, user and system, its threads included (proc(5), fields 14 and 15). */
export async function cpuSeconds(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / ticksASecond;
}

/** Resident memory of a process in MB (10^6 bytes), now and at its highest. */
export async function memoryMb(pid: number): Promise<{ readonly now: number; readonly peak: number }> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  const kilobytes = (name: string) =>
    Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1] ?? 0);
  return { now: (kilobytes('VmRSS') * 1024) / 1e6, peak: (kilobytes('VmHWM') * 1024) / 1e6 };
}

/** CPU seconds of a process and of all its children, those that have ended among them: a PostgreSQL with its backends. */
export async function treeCpuSeconds(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const ended = (Number(fields[13]) + Number(fields[14])) / ticksASecond;
  const children = (await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8')).split(' ').filter(Boolean);
  const each = await Promise.all([pid, ...children.map(Number)].map((one) => cpuSeconds(one).catch(() => 0)));
  return each.reduce((sum, seconds) => sum + seconds, ended);
}
