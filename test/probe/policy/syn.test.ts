import { execFile, execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { serverCommand } from '../../harness/real-server.ts';

const namespace = ['--net', ...(process.getuid?.() === 0 ? [] : ['--map-root-user'])];

function canIsolate(): boolean {
  try {
    execFileSync('unshare', [...namespace, 'ip', 'link', 'set', 'lo', 'up'], { stdio: 'ignore' });
    return true;
  } catch {
    console.warn('no network namespaces here: that not even a SYN leaves is not tested');
    return false;
  }
}

test.skipIf(!canIsolate())(
  'not even a SYN, a datagram or an echo request leaves for what the policy refuses',
  async () => {
    const script = fileURLToPath(new URL('./syn-witness.ts', import.meta.url));
    const setUp =
      'ip link set lo up; ip route add default dev lo; ip -6 route add default dev lo; exec "$0" "$1"';
    const { stdout } = await promisify(execFile)('unshare', [
      ...namespace,
      'sh',
      '-c',
      setUp,
      process.execPath,
      script,
    ]);
    const { opened, codes } = JSON.parse(stdout) as {
      opened: Record<string, number>;
      codes: Record<string, string>;
    };
    const { control, publicControl, publicDatagram, publicEcho, ...refused } = opened;
    expect([control, publicControl]).toEqual([1, 2]);
    // Those that may leave are seen to: a question to each, and an echo where the machine has a ping.
    expect(publicDatagram).toBeGreaterThanOrEqual(2);
    if (serverCommand('ping', 'iputils-ping')) expect(publicEcho).toBe(2);
    expect(refused).toEqual({
      literal: 0,
      tls: 0,
      otherPort: 0,
      mail: 0,
      name: 0,
      redirect: 0,
      resolveTo: 0,
      datagram: 0,
      echo: 0,
    });
    const blocked = Object.entries(codes).filter(([step]) => !/^(control|public\w+) /.test(step));
    expect(blocked.length).toBeGreaterThan(100);
    expect(blocked.filter(([, code]) => code !== 'policy.blocked')).toEqual([]);
  },
);
