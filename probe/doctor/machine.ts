import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { constants, existsSync } from 'node:fs';
import { access, open, readFile, rm, statfs } from 'node:fs/promises';
import { availableParallelism, networkInterfaces } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { type Finding, fail, ok, warn } from '../../shared/doctor.ts';
import { formatBytes } from '../../shared/duration.ts';
import { folderProblem } from '../state/data-folder.ts';

const run = promisify(execFile);
const read = (file: string) => readFile(file, 'utf8').catch(() => '');

const writes = 20;
const slowSyncMs = 50;
const leastFreeBytes = 512 * 1_048_576;

/** How long a result takes to be safe on this disk, and how much room there is. */
export async function lookAtDisk(dataDir: string, spoolMaxBytes: number): Promise<readonly Finding[]> {
  const file = join(dataDir, `doctor-${randomBytes(4).toString('hex')}`);
  try {
    const tookMs: number[] = [];
    const handle = await open(file, 'wx', 0o600);
    try {
      for (let write = 0; write < writes; write += 1) {
        const sinceMs = performance.now();
        await handle.write(randomBytes(4096));
        await handle.datasync();
        tookMs.push(performance.now() - sinceMs);
      }
    } finally {
      await handle.close();
      await rm(file, { force: true });
    }
    const median = tookMs.toSorted((a, b) => a - b)[writes / 2] ?? 0;
    const { bavail, bsize } = await statfs(dataDir);
    const free = bavail * bsize;
    const seen = `${dataDir}: a write is safe after ${median.toFixed(1)} ms, ${(free / 1_073_741_824).toFixed(1)} GiB are free`;
    if (free < Math.min(leastFreeBytes, spoolMaxBytes))
      return [
        warn(
          'disk',
          seen,
          `make room, or let results take less with --spool-max (now ${formatBytes(spoolMaxBytes)})`,
        ),
      ];
    if (median > slowSyncMs)
      return [warn('disk', seen, 'a disk this slow delays results: give a faster one with --data')];
    return [ok('disk', seen)];
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return [await lookAbove(dataDir)];
    return [fail('disk', folderProblem(dataDir, error), 'without it a probe cannot start')];
  }
}

/** Whether the probe can make its folder when it starts. */
async function lookAbove(dataDir: string): Promise<Finding> {
  let above = dirname(dataDir);
  while (!existsSync(above) && above !== dirname(above)) above = dirname(above);
  const writable = await access(above, constants.W_OK | constants.X_OK).then(
    () => true,
    () => false,
  );
  const seen = `there is no folder ${dataDir} yet`;
  if (writable) return ok('disk', `${seen}: the probe makes it when it starts`);
  const todo = `let it write in ${above} (its number here is ${process.getuid?.() ?? 'unknown'}), or name another folder with --data`;
  return fail('disk', `${seen}, and this user may not make it`, todo);
}

/** One socket a check that runs, and some. */
export async function lookAtFileLimit(workers: number): Promise<readonly Finding[]> {
  const limits = await read('/proc/self/limits');
  const [, soft = ''] = /^Max open files\s+(\S+)\s+(\S+)/m.exec(limits) ?? [];
  if (soft === '') return [];
  const wanted = workers * 1000 + 200;
  if (soft === 'unlimited' || Number(soft) >= wanted) return [ok('file limit', `${soft} open files`)];
  return [
    warn(
      'file limit',
      `${soft} open files, and ${workers * 1000} checks may run at once`,
      `raise it to ${wanted} (LimitNOFILE= in systemd, --ulimit nofile= in Docker), or checks will be skipped as probe.saturated`,
    ),
  ];
}

export async function lookAtProcessor(): Promise<readonly Finding[]> {
  const findings: Finding[] = [];
  const cores = availableParallelism();
  const [quota, periodUs] = (await read('/sys/fs/cgroup/cpu.max')).trim().split(' ');
  const share = quota !== undefined && quota !== 'max' && periodUs ? Number(quota) / Number(periodUs) : null;
  const throttled = Number(/^nr_throttled (\d+)/m.exec(await read('/sys/fs/cgroup/cpu.stat'))?.[1] ?? 0);
  const cpu =
    /^cpu +(.+)$/m
      .exec(await read('/proc/stat'))?.[1]
      ?.split(' ')
      .map(Number) ?? [];
  const total = cpu.slice(0, 8).reduce((sum, each) => sum + each, 0);
  const stolen = total > 0 ? ((cpu[7] ?? 0) / total) * 100 : 0;
  const seen = `${share === null ? `${cores} cores` : `${share} of ${cores} cores`}${stolen >= 0.1 ? `, ${stolen.toFixed(1)}% of the time since boot was stolen by other guests` : ''}`;
  if (stolen >= 5) {
    const todo = 'measurements will often be marked suspect: choose a machine that is not shared as much';
    findings.push(warn('processor', seen, todo));
  } else if (throttled > 0 && share !== null) {
    const todo =
      'the limit of this container was met: raise it, or the probe marks what it spoils as suspect';
    findings.push(warn('processor', `${seen}, throttled ${throttled} times`, todo));
  } else findings.push(ok('processor', seen));
  return findings;
}

/** Whether pings can be sent without root. */
export async function lookAtPing(): Promise<readonly Finding[]> {
  try {
    await run('ping', ['-n', '-c', '1', '-W', '1', '127.0.0.1'], {
      env: { ...process.env, LC_ALL: 'C' },
      timeout: 5000,
    });
    return [ok('ping', 'ICMP may be sent')];
  } catch (error) {
    const { code, stderr = '' } = error as { code?: unknown; stderr?: string };
    const todo =
      code === 'ENOENT'
        ? 'install iputils-ping: without it ping:// endpoints are skipped as probe.unable'
        : 'let this user send them: `sysctl -w net.ipv4.ping_group_range="0 2147483647"`, or give ping cap_net_raw';
    // Its first line tells only which kind of socket it tried.
    const lines = stderr.trim().split('\n');
    const said = lines.find((line) => /not permitted|denied/i.test(line)) ?? lines[0];
    const why = code === 'ENOENT' ? 'there is no ping program' : said || 'ping fails';
    return [warn('ping', why, todo)];
  }
}

export async function lookAtIpv6(): Promise<readonly Finding[]> {
  const own = Object.values(networkInterfaces())
    .flatMap((each) => each ?? [])
    .filter(({ family, internal, address }) => family === 'IPv6' && !internal && !/^f[cde]/i.test(address));
  const routes = await read('/proc/net/ipv6_route');
  const [zero, lo] = ['0'.repeat(32), / lo$/];
  const leads = routes.split('\n').some((line) => line.startsWith(`${zero} 00 `) && !lo.test(line));
  if (own.length > 0 && leads) return [ok('IPv6', `${own[0]?.address} and a way out`)];
  const seen = own.length > 0 ? 'an address, and no default route' : 'no public address';
  return [warn('IPv6', seen, 'endpoints with ipFamily 6, or IPv6 alone, are unreachable from here')];
}
