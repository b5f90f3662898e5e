import { execFile } from 'node:child_process';
import { chmod, copyFile, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Observation } from '../../shared/result.ts';
import { serverCommand } from '../harness/real-server.ts';
import type { Wish } from '../probe/checks/scene.ts';
import { canHaveNamespaces, makeNamespaces, type Namespaces } from './namespaces.ts';

const ping = serverCommand('ping', 'iputils-ping');
const tc = serverCommand('tc', 'iproute2');
const script = fileURLToPath(new URL('../probe/checks/ping-child.ts', import.meta.url));
const run = promisify(execFile);

describe.skipIf(!ping || !tc || !(await canHaveNamespaces()))('pings through a network of its own', () => {
  let net: Namespaces;
  let host: string;
  beforeAll(async () => {
    net = await makeNamespaces([2, 3], 2);
    host = `${net.world}2`;
    for (const [at, device, address] of [
      [net.atProbe, 'up0', 'fd00:77::2/64'],
      [net.atGateway, 'in0', 'fd00:77::1/64'],
    ] as const)
      await at('-6', 'addr', 'add', address, 'dev', device, 'nodad');
    await net.atProbe('-6', 'route', 'add', 'default', 'via', 'fd00:77::1');
    await execute('gateway', ['sh', '-c', 'echo 1 > /proc/sys/net/ipv6/conf/all/forwarding']);
    // What routers say of one target after another would otherwise be rationed.
    for (const name of ['ipv4/icmp_ratelimit', 'ipv6/icmp/ratelimit'])
      await execute('gateway', ['sh', '-c', `echo 0 > /proc/sys/net/${name}`]);
  }, 30_000);
  afterAll(() => net?.end());

  async function execute(
    where: 'probe' | 'gateway',
    command: readonly string[],
    env = process.env,
  ): Promise<string> {
    const [file, args] = net.inside(where, command);
    const { stdout } = await run(file, [...args], { env, timeout: 30_000 });
    return stdout;
  }

  async function pinged(urls: readonly string[], wish: Wish = {}, env = process.env): Promise<Observation[]> {
    const asked = urls.map((url) => [url, { timeoutMs: 2000, ...wish }]);
    return JSON.parse(
      await execute('probe', [process.execPath, script, JSON.stringify(asked)], env),
    ) as Observation[];
  }

  test('a host behind a router, and the router over IPv6', async () => {
    const seen = await pinged([`ping://${host}`, 'ping://[fd00:77::1]']);
    expect(seen).toMatchObject([
      { outcome: 'up', remoteIp: host, facts: { sent: 3, received: 3, ttl: 63 } },
      { outcome: 'up', remoteIp: 'fd00:77::1', facts: { received: 3, ttl: 64 } },
    ]);
  });

  test('a black hole, routers that say no, a time to live that ends, no route at all', async () => {
    // A router answers so many refused packets of one sender, and then one a second: route/error_burst.
    const one = { request: { count: 1 } };
    const at = (last: number) => `${net.world}${last}`;
    await net.atGateway('route', 'add', 'blackhole', `${at(9)}/32`);
    await net.atGateway('route', 'add', 'unreachable', `${at(10)}/32`);
    await net.atGateway('route', 'add', 'prohibit', `${at(11)}/32`);
    await net.atProbe('route', 'add', 'unreachable', '10.99.0.0/16');
    await net.atGateway('-6', 'route', 'add', 'unreachable', 'fd00:88::/64');
    const seen = [
      ...(await pinged(
        [at(9), at(10), at(11), '10.99.0.1', '[fd00:88::1]', at(77)].map((each) => `ping://${each}`),
        one,
      )),
      ...(await pinged([`ping://${host}`], { request: { count: 1, ttl: 1 } })),
    ];
    expect(seen.map(({ failure }) => failure?.code)).toEqual([
      'connect.timeout',
      'connect.unreachable',
      'connect.unreachable',
      'connect.unreachable',
      'connect.unreachable',
      expect.stringMatching(/^connect\.(unreachable|timeout)$/),
      'connect.unreachable',
    ]);
    const messages = seen.map(({ failure }) => failure?.message ?? '');
    expect(messages[0]).toBe(`no reply from ${at(9)} within 2000 ms`);
    expect(messages[1]).toBe(`${net.gateway} says that ${at(10)} is unreachable`);
    expect(messages[2]).toBe(`${net.gateway} says that ${at(11)} is prohibited`);
    expect(messages[3]).toBe('this machine has no way to 10.99.0.1');
    expect(messages[4]).toBe('fd00:77::1 says that fd00:88::1 is unreachable');
    expect(messages[6]).toBe(`the requests' time to live ended at ${net.gateway}`);
    for (const { outcome, timings } of seen) {
      expect(outcome).toBe('down');
      expect(timings.total).toBeLessThan(2_600_000);
    }
  }, 30_000);

  test('loss', async () => {
    // The kernel of the one that is pinged answers at most six times, and then once a second.
    await execute('gateway', [
      'sh',
      '-c',
      'cd /proc/sys/net/ipv4; echo 1000 > icmp_ratelimit; echo 1 > icmp_ratemask',
    ]);
    try {
      const wish = { timeoutMs: 8000, request: { count: 20, interval: '200ms' } };
      const strict = await pinged([`ping://${net.gateway}`], wish);
      const lenient = await pinged([`ping://${net.gateway}`], { ...wish, expect: { maxLossPercent: 99 } });
      expect(strict).toMatchObject([
        { outcome: 'down', failure: { code: 'expect.loss', source: 'network' } },
      ]);
      expect(lenient).toMatchObject([{ outcome: 'up', failure: null }]);
      const { received, lossPercent } = strict[0]?.facts ?? {};
      expect(received).toBeGreaterThanOrEqual(1);
      expect(received).toBeLessThanOrEqual(13);
      expect(lossPercent).toBe(100 - Number(received) * 5);
    } finally {
      await execute('gateway', ['sh', '-c', 'echo 0 > /proc/sys/net/ipv4/icmp_ratelimit']);
    }
  }, 30_000);

  test('delay is told as the average, jitter beside it', async ({ skip }) => {
    const shape = ['tc', 'qdisc', 'replace', 'dev', 'up0', 'root', 'netem', 'delay', '60ms', '25ms'];
    const shaped = await execute('probe', shape).then(
      () => null,
      (error: unknown) => String(error),
    );
    if (shaped !== null) {
      console.warn(`\n# SKIPPED: pings that are delayed. This kernel has no netem: ${shaped}`);
      skip();
    }
    try {
      const [seen, slow, uneven] = (
        await Promise.all([
          pinged([`ping://${host}`]),
          pinged([`ping://${host}`], { expect: { slowerThan: '20ms' } }),
          pinged([`ping://${host}`], { request: { count: 5 }, expect: { maxJitter: '1ms' } }),
        ])
      ).flat();
      const { avgMs, jitterMs } = seen?.facts ?? {};
      expect(avgMs).toBeGreaterThan(30);
      expect(avgMs).toBeLessThan(400);
      expect(jitterMs).toBeGreaterThan(0);
      expect(seen?.timings.wait).toBe(Math.round(Number(avgMs) * 1000));
      expect(slow).toMatchObject({ outcome: 'degraded', failure: null });
      expect(uneven).toMatchObject({ outcome: 'degraded', failure: { code: 'expect.jitter' } });
    } finally {
      await execute('probe', ['tc', 'qdisc', 'del', 'dev', 'up0', 'root']);
    }
  }, 20_000);

  test('without root and without a capability: where the kernel allows, and what to do where not', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'parallax-unprivileged-'));
    await chmod(dir, 0o755);
    // A copy has no capability; nobody runs it.
    await copyFile(ping ?? '', join(dir, 'bare-ping'));
    await writeFile(
      join(dir, 'ping'),
      `#!/bin/sh\nexec setpriv --reuid 65534 --regid 65534 --clear-groups "${dir}/bare-ping" "$@"\n`,
    );
    await chmod(join(dir, 'ping'), 0o755);
    const env = { ...process.env, PATH: `${dir}:${process.env.PATH}` };
    const range = (text: string) =>
      execute('probe', ['sh', '-c', `echo "${text}" > /proc/sys/net/ipv4/ping_group_range`]);
    try {
      await range('0 2147483647');
      expect(await pinged([`ping://${host}`, 'ping://[fd00:77::1]'], {}, env)).toMatchObject([
        { outcome: 'up', facts: { received: 3, ttl: 63 } },
        { outcome: 'up', facts: { received: 3 } },
      ]);
      await range('1 0');
      const [cannot] = await pinged([`ping://${host}`], {}, env);
      expect(cannot).toMatchObject({
        outcome: 'skipped',
        failure: { code: 'probe.unable', source: 'probe' },
      });
      expect(cannot?.failure?.message).toMatch(/sysctl net\.ipv4\.ping_group_range/);
    } finally {
      await rm(dir, { recursive: true, force: true });
    }
  }, 30_000);
});
