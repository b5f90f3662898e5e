import { spawn } from 'node:child_process';
import { isIP } from 'node:net';
import type { PingRequest } from '../../shared/endpoint-ping.ts';

/** The one call that starts the machine's `ping`; a seam, so that a test can see what would have been pinged. */
export type RunPing = (args: readonly string[], onStop: (stop: () => void) => void) => Promise<PingRun>;

export interface PingRun {
  /** Null where it could not be started or was ended by a signal. */
  readonly exitCode: number | null;
  /** `ENOENT` where there is no such program. */
  readonly startError: string | null;
  readonly out: string;
  readonly err: string;
}

/** Twenty requests and as many errors are far below. */
const mostOutput = 32_768;

/** Without a shell, without input, in the C locale; what it writes beyond the cap is read and thrown away. */
export const runPing: RunPing = (args, onStop) =>
  new Promise((resolve) => {
    const child = spawn('ping', args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      // Nothing of the probe's own settings goes along.
      env: { LC_ALL: 'C', LANG: 'C', PATH: process.env.PATH ?? '/usr/bin:/bin:/usr/sbin:/sbin' },
    });
    let startError: string | null = null;
    const texts = { out: '', err: '' };
    for (const [name, stream] of [
      ['out', child.stdout],
      ['err', child.stderr],
    ] as const) {
      stream.setEncoding('latin1');
      stream.on('data', (text: string) => {
        texts[name] += text.slice(0, mostOutput - texts[name].length);
      });
    }
    child.once('error', (error: NodeJS.ErrnoException) => {
      startError = error.code ?? error.message;
      if (child.pid === undefined) resolve({ exitCode: null, startError, ...texts });
    });
    child.once('close', (exitCode) => resolve({ exitCode, startError, ...texts }));
    onStop(() => {
      child.kill('SIGKILL');
      // Whatever else holds its output, nobody waits for it.
      child.stdout.destroy();
      child.stderr.destroy();
      resolve({ exitCode: null, startError, ...texts });
    });
  });

/** `address` is a literal that was vetted. `waitMs`: how long it may wait for the last reply. */
export function pingArguments(
  { count, interval, size, ttl }: Pick<PingRequest, 'count' | 'interval' | 'size' | 'ttl'>,
  address: string,
  waitMs: number,
): readonly string[] {
  const seconds = (ms: number) => (ms / 1000).toFixed(3);
  return [
    isIP(address) === 6 ? '-6' : '-4',
    // Neither names looked up for addresses, nor a flood of dots.
    '-n',
    ...['-c', String(count)],
    ...['-i', seconds(interval)],
    ...['-W', seconds(waitMs)],
    ...['-s', String(size)],
    ...(ttl === undefined ? [] : ['-t', String(ttl)]),
    '--',
    address,
  ];
}

/** Why this machine cannot ping, and what its owner can do; null where it can. */
export function unable({ startError, exitCode, out, err }: PingRun): string | null {
  if (startError === 'ENOENT')
    return 'this machine has no ping: install iputils-ping (Debian, Ubuntu) or iputils (others)';
  if (startError === 'EAGAIN' || startError === 'EMFILE' || startError === 'ENOMEM') return null;
  if (startError !== null) return `ping cannot be started here (${startError})`;
  if (/socket: (Operation not permitted|Permission denied)|missing cap_net_raw/i.test(err))
    return 'ping may not send here: allow it with sysctl net.ipv4.ping_group_range="0 2147483647", or give ping cap_net_raw';
  if (
    /BusyBox|unrecognized option|invalid option|invalid argument|Usage/i.test(err) &&
    exitCode !== 0 &&
    !/icmp_seq/.test(out)
  )
    return 'the ping of this machine is another than that of iputils: install iputils-ping';
  return null;
}
