import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import type { Checker } from '../../../probe/checks/check.ts';
import { type PingRun, pingArguments, type RunPing, runPing } from '../../../probe/checks/ping-command.ts';
import { pingFigures, readPing } from '../../../probe/checks/ping-report.ts';
import { createPingTurns } from '../../../probe/checks/ping-turns.ts';
import type { FailureCode } from '../../../shared/failure.ts';
import { serverCommand } from '../../harness/real-server.ts';
import { startDnsServer } from './dns-server.ts';
import { assignmentOf, checkOnce, policyOf, startChecker, type Wish } from './scene.ts';

/** What iputils 20221126 wrote, by hand and here and there. */
const replies = [
  'PING 192.0.2.1 (192.0.2.1) 56(84) bytes of data.',
  '64 bytes from 192.0.2.1: icmp_seq=1 ttl=57 time=10.5 ms',
  '64 bytes from 192.0.2.1: icmp_seq=1 ttl=57 time=11.5 ms (DUP!)',
  '64 bytes from 192.0.2.1: icmp_seq=3 ttl=56 time=14.0 ms',
  '64 bytes from 192.0.2.1: icmp_seq=2 ttl=56 time=1012 ms',
  '',
  '--- 192.0.2.1 ping statistics ---',
  '4 packets transmitted, 3 received, +1 duplicates, 25% packet loss, time 603ms',
  'rtt min/avg/max/mdev = 10.500/345.500/1012.000/471.300 ms, pipe 2',
].join('\n');

describe('what ping writes', () => {
  test('replies in any order, one twice', () => {
    const report = readPing(replies);
    expect(report).toMatchObject({ ttl: 56, error: null, duplicates: 1 });
    expect(pingFigures(4, report.roundTripsMs)).toEqual({
      received: 3,
      lossPercent: 25,
      minMs: 10.5,
      avgMs: 345.5,
      maxMs: 1012,
      // |1012 - 10.5| and |14 - 1012|, halved.
      jitterMs: 999.75,
    });
  });

  const errors: readonly (readonly [line: string, from: string, what: string])[] = [
    ['From 10.0.0.1 icmp_seq=1 Time to live exceeded', '10.0.0.1', 'ttl exceeded'],
    ['From 10.0.0.1 icmp_seq=1 Destination Host Unreachable', '10.0.0.1', 'unreachable'],
    ['From 10.0.0.1 icmp_seq=2 Destination Net Unreachable', '10.0.0.1', 'unreachable'],
    ['From 10.0.0.1 icmp_seq=1 Packet filtered', '10.0.0.1', 'prohibited'],
    ['From 10.0.0.1 icmp_seq=1 Destination Host Prohibited', '10.0.0.1', 'prohibited'],
    ['From 10.0.0.1 icmp_seq=1 Frag needed and DF set (mtu = 1400)', '10.0.0.1', 'too big'],
    ['From fd00::1 icmp_seq=1 Time exceeded: Hop limit', 'fd00::1', 'ttl exceeded'],
    ['From fd00::1 icmp_seq=1 Destination unreachable: No route', 'fd00::1', 'unreachable'],
    ['From fd00::1 icmp_seq=1 Destination unreachable: Administratively prohibited', 'fd00::1', 'prohibited'],
    ['From fe80::1%eth0 icmp_seq=1 Destination unreachable: Address unreachable', 'fe80::1', 'unreachable'],
    ['From fd00::1 icmp_seq=1 Packet too big: mtu=1280', 'fd00::1', 'too big'],
  ];
  test.each(errors)('%s', (line, from, what) => {
    expect(readPing(`PING x\n${line}\n`).error).toEqual({ from, what });
  });

  test('replies that are none', () => {
    for (const rest of ['(BAD CHECKSUM!)', '(DIFFERENT ADDRESS!)', 'wrong data byte #16 should be 0x10'])
      expect(
        readPing(`64 bytes from 1.2.3.4: icmp_seq=1 ttl=57 time=10.5 ms ${rest}`).roundTripsMs.size,
      ).toBe(0);
    for (const line of [
      '64 bytes from 1.2.3.4: icmp_seq=1 ttl=57',
      'icmp_seq=1 ttl=x time=1 ms',
      'From nobody icmp_seq=1 Unreachable',
    ])
      expect(readPing(line)).toMatchObject({ ttl: null, error: null });
  });

  test('figures hold together, whatever comes back', () => {
    const trips = fc.uniqueArray(
      fc.tuple(fc.integer({ min: 1, max: 20 }), fc.double({ min: 0, max: 9999, noNaN: true })),
      {
        maxLength: 20,
        selector: ([number]) => number,
      },
    );
    fc.assert(
      fc.property(trips, (list) => {
        const { received, lossPercent, minMs, avgMs, maxMs, jitterMs } = pingFigures(20, new Map(list));
        expect(received).toBe(list.length);
        expect(lossPercent).toBeCloseTo((100 * (20 - received)) / 20, 1);
        if (minMs === null || avgMs === null || maxMs === null) {
          expect(received).toBe(0);
          return;
        }
        expect(minMs - 0.001).toBeLessThanOrEqual(avgMs);
        expect(avgMs - 0.001).toBeLessThanOrEqual(maxMs);
        if (jitterMs !== null) expect(jitterMs).toBeLessThanOrEqual(maxMs - minMs + 0.001);
        expect(jitterMs === null).toBe(received < 2);
      }),
    );
  });
});

test('how ping is called: a literal address after --, and nothing a stranger wrote', () => {
  const request = { count: 3, interval: 200, size: 56, ttl: undefined };
  expect(pingArguments(request, '192.0.2.1', 1500).join(' ')).toBe(
    '-4 -n -c 3 -i 0.200 -W 1.500 -s 56 -- 192.0.2.1',
  );
  expect(pingArguments({ ...request, ttl: 5 }, '2001:db8::1', 20).join(' ')).toBe(
    '-6 -n -c 3 -i 0.200 -W 0.020 -s 56 -t 5 -- 2001:db8::1',
  );
});

/** A checker whose `ping` is a function. */
async function withPing(run: (args: readonly string[]) => Partial<PingRun> | 'never'): Promise<{
  checker: Checker;
  calls: (readonly string[])[];
  killed: () => number;
}> {
  const calls: (readonly string[])[] = [];
  let killed = 0;
  const fake: RunPing = (args, onStop) =>
    new Promise((resolve) => {
      calls.push(args);
      const made = run(args);
      const whole = { exitCode: 0, startError: null, out: '', err: '' };
      if (made !== 'never') return resolve({ ...whole, ...made });
      onStop(() => {
        killed += 1;
        resolve({ ...whole, exitCode: null, out: replies });
      });
    });
  const checker = await startChecker({ policy: policyOf('192.0.2.0/24', '127.0.0.0/8:80'), runPing: fake });
  return { checker, calls, killed: () => killed };
}

describe('verdicts', () => {
  const oneReply = (ms: number) => `64 bytes from 192.0.2.1: icmp_seq=1 ttl=57 time=${ms} ms`;
  type Row = readonly [string, Partial<PingRun>, Wish, outcome: string, FailureCode | null, RegExp?];
  const four = { count: 4 };
  const rows: readonly Row[] = [
    [
      'three of four',
      { out: replies, exitCode: 0 },
      { request: four },
      'down',
      'expect.loss',
      /25% lost, at most 0%/,
    ],
    [
      'three of four are enough',
      { out: replies },
      { request: four, expect: { maxLossPercent: 25 } },
      'up',
      null,
    ],
    [
      'slow',
      { out: replies },
      { request: four, expect: { maxLossPercent: 50, slowerThan: '345ms' } },
      'degraded',
      null,
    ],
    [
      'not slow',
      { out: replies },
      { request: four, expect: { maxLossPercent: 50, slowerThan: '346ms' } },
      'up',
      null,
    ],
    [
      'uneven',
      { out: replies },
      { request: four, expect: { maxLossPercent: 50, maxJitter: '999ms' } },
      'degraded',
      'expect.jitter',
      /jitter of 999\.75 ms/,
    ],
    ['nothing came back', { exitCode: 1 }, {}, 'down', 'connect.timeout', /no reply from 192\.0\.2\.1/],
    [
      'all lost is down, whatever is allowed',
      { exitCode: 1 },
      { expect: { maxLossPercent: 99 } },
      'down',
      'connect.timeout',
    ],
    [
      'a router says no',
      { out: 'From 10.0.0.1 icmp_seq=1 Destination Host Unreachable', exitCode: 1 },
      {},
      'down',
      'connect.unreachable',
      /10\.0\.0\.1 says that 192\.0\.2\.1 is unreachable/,
    ],
    [
      'too far',
      { out: 'From 10.0.0.1 icmp_seq=1 Time to live exceeded', exitCode: 1 },
      {},
      'down',
      'connect.unreachable',
      /ended at 10\.0\.0\.1/,
    ],
    [
      'no route',
      { err: 'ping: connect: Network is unreachable', exitCode: 2 },
      {},
      'down',
      'connect.unreachable',
      /no way to/,
    ],
    [
      'too large',
      { err: 'ping: local error: message too long, mtu: 1500', exitCode: 1 },
      {},
      'down',
      'connect.unreachable',
      /size/,
    ],
    [
      'an error and a reply',
      { out: `From 10.0.0.1 icmp_seq=1 Destination Host Unreachable\n${oneReply(5)}` },
      { request: { count: 1 } },
      'up',
      null,
    ],
    [
      'no such program',
      { startError: 'ENOENT', exitCode: null },
      {},
      'skipped',
      'probe.unable',
      /install iputils-ping/,
    ],
    [
      'no permission',
      {
        err: 'ping: socktype: SOCK_RAW\nping: socket: Operation not permitted\nping: => missing cap_net_raw+p capability or setuid?',
        exitCode: 2,
      },
      {},
      'skipped',
      'probe.unable',
      /ping_group_range/,
    ],
    [
      'another ping',
      { err: "ping: unrecognized option '--'\nBusyBox v1.36.1 multi-call binary.", exitCode: 1 },
      {},
      'skipped',
      'probe.unable',
      /another than that of iputils/,
    ],
    [
      'a program that may not run',
      { startError: 'EACCES', exitCode: null },
      {},
      'skipped',
      'probe.unable',
      /EACCES/,
    ],
    ['no process left', { startError: 'EAGAIN', exitCode: null }, {}, 'skipped', 'probe.saturated', /EAGAIN/],
  ];
  for (const [title, run, wish, outcome, code, text] of rows) {
    test(title, async () => {
      const { checker } = await withPing(() => run);
      const seen = await checkOnce(checker, 'ping://192.0.2.1', wish);
      expect([seen.outcome, seen.failure?.code ?? null]).toEqual([outcome, code]);
      if (text) expect(seen.failure?.message).toMatch(text);
      await checker.close();
    });
  }

  test('what it tells', async () => {
    const { checker } = await withPing(() => ({ out: replies }));
    expect(
      await checkOnce(checker, 'ping://192.0.2.1', { request: four, expect: { maxLossPercent: 25 } }),
    ).toMatchObject({
      remoteIp: '192.0.2.1',
      status: null,
      timings: { dns: null, connect: null, wait: 345_500, total: 345_500 },
      facts: {
        sent: 4,
        received: 3,
        lossPercent: 25,
        minMs: 10.5,
        avgMs: 345.5,
        maxMs: 1012,
        jitterMs: 999.75,
        ttl: 56,
        duplicates: 1,
      },
    });
    await checker.close();
  });

  test('a ping that does not end is killed at the deadline, and what it told until then counts', async () => {
    const { checker, killed } = await withPing(() => 'never');
    const wish = { timeoutMs: 700, request: four, expect: { maxLossPercent: 25 } };
    expect(await checkOnce(checker, 'ping://192.0.2.1', wish)).toMatchObject({ outcome: 'up' });
    expect(killed()).toBe(1);
    await checker.close();
  });

  test('a check that is stopped kills it and blames nobody', async () => {
    const { checker, killed, calls } = await withPing(() => 'never');
    const stop = new AbortController();
    const running = checker.check(assignmentOf('ping://192.0.2.1'), stop.signal);
    await vi.waitUntil(() => calls.length > 0);
    stop.abort();
    expect(await running).toMatchObject({ outcome: 'skipped', failure: { code: 'probe.internal' } });
    expect(killed()).toBe(1);
    await checker.close();
  });

  test('requests that do not fit into the timeout are refused before they are sent', async () => {
    const { checker, calls } = await withPing(() => ({ out: replies }));
    const wish = { timeoutMs: 400, request: { count: 3, interval: '200ms' } };
    expect(await checkOnce(checker, 'ping://192.0.2.1', wish)).toMatchObject({
      failure: { code: 'probe.internal' },
    });
    expect(calls).toEqual([]);
    await checker.close();
  });
});

test('what the policy refuses is never pinged', async () => {
  const { calls, checker: other } = await withPing(() => ({ out: replies }));
  await other.close();
  const dns = await startDnsServer((name) => (name === 'metadata.test' ? ['169.254.169.254'] : ['10.0.0.1']));
  const fake: RunPing = (args) => {
    calls.push(args);
    return Promise.resolve({ exitCode: 0, startError: null, out: replies, err: '' });
  };
  // A rule with a port opens that port, and no pings.
  const careful = await startChecker({
    policy: policyOf('10.0.0.1:443'),
    dnsServer: dns.address,
    runPing: fake,
  });
  const refused: readonly [url: string, request?: object][] = [
    ['ping://10.0.0.1'],
    ['ping://127.0.0.1'],
    ['ping://localhost'],
    ['ping://169.254.169.254'],
    ['ping://[::1]'],
    ['ping://[fe80::1]'],
    ['ping://[::ffff:10.0.0.1]'],
    ['ping://224.0.0.1'],
    ['ping://255.255.255.255'],
    ['ping://inner.test'],
    ['ping://metadata.test'],
    ['ping://inner.test', { resolveTo: '192.168.0.1' }],
  ];
  for (const [url, request = {}] of refused)
    expect(await checkOnce(careful, url, { request }), url).toMatchObject({
      failure: { code: 'policy.blocked' },
    });
  // No name and no address: no DNS answers for it, and no shell ever sees it.
  for (const url of ['ping://-c', 'ping://%24(id)', 'ping://0x7f.1'])
    expect((await checkOnce(careful, url, { timeoutMs: 600 })).outcome, url).not.toBe('up');
  expect(calls).toEqual([]);
  await careful.close();
  await dns.close();
});

describe('turns', () => {
  test('so many at once, so many in line, in order', async () => {
    const turns = createPingTurns({ atOnce: 2, waitingMost: 2, waitMs: 5000 });
    const order: number[] = [];
    const take = async (number: number) => {
      const turn = await turns.take(() => undefined);
      order.push(number);
      return turn;
    };
    const [first, second] = await Promise.all([take(1), take(2)]);
    const third = take(3);
    const fourth = take(4);
    expect(await turns.take(() => undefined)).toMatch(/2 pings wait/);
    expect(order).toEqual([1, 2]);
    if (typeof first === 'function') {
      first();
      // Given back twice it frees one place, not two.
      first();
    }
    await third;
    expect(order).toEqual([1, 2, 3]);
    if (typeof second === 'function') second();
    await fourth;
    expect(order).toEqual([1, 2, 3, 4]);
  });

  test('the time in line is not the target’s: each may wait as long for its last reply', async () => {
    const waits: number[] = [];
    const fake: RunPing = async (args) => {
      waits.push(Number(args[args.indexOf('-W') + 1]));
      await new Promise((done) => setTimeout(done, 300));
      return { exitCode: 0, startError: null, out: replies, err: '' };
    };
    const checker = await startChecker({ runPing: fake });
    const wish = { timeoutMs: 1000, request: { count: 1 } };
    await Promise.all(Array.from({ length: 40 }, () => checkOnce(checker, 'ping://127.0.0.1', wish)));
    expect(waits).toHaveLength(40);
    expect(Math.min(...waits)).toBeGreaterThan(0.75);
    await checker.close();
  });

  test('who leaves the line, and who waits too long', async () => {
    const turns = createPingTurns({ atOnce: 1, waitingMost: 5, waitMs: 30 });
    const first = await turns.take(() => undefined);
    const ways: (() => void)[] = [];
    const left = turns.take((way) => ways.push(way));
    const late = turns.take(() => undefined);
    ways[0]?.();
    expect(await left).toBeNull();
    expect(await late).toMatch(/at most 1 pings at once/);
    if (typeof first === 'function') first();
    expect(typeof (await turns.take(() => undefined))).toBe('function');
  });
});

const ping = serverCommand('ping', 'iputils-ping');

describe.skipIf(!ping)('the ping of this machine', () => {
  let checker: Checker;
  beforeAll(async () => {
    checker = await startChecker();
  });
  afterAll(() => checker.close());

  test.each(['127.0.0.1', '[::1]', 'localhost'])('%s', async (host) => {
    const seen = await checkOnce(checker, `ping://${host}`, { request: { count: 2 }, timeoutMs: 4000 });
    expect(seen).toMatchObject({ outcome: 'up', facts: { sent: 2, received: 2, lossPercent: 0, ttl: 64 } });
    // A loopback's round trip, not the 200 ms that the check took.
    expect(seen.timings.total).toBeLessThan(150_000);
  });

  test('forty at once take turns, and none is lost', async () => {
    const seen = await Promise.all(
      Array.from({ length: 40 }, () =>
        checkOnce(checker, 'ping://127.0.0.1', { request: { count: 1 }, timeoutMs: 5000 }),
      ),
    );
    expect(new Set(seen.map(({ outcome }) => outcome))).toEqual(new Set(['up']));
  });

  test('one that writes without end, and whose own children hold its output, is bounded and gone at the deadline', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'parallax-ping-'));
    await writeFile(
      join(dir, 'ping'),
      '#!/bin/sh\nsleep 5 &\ntrap "" TERM INT\nwhile :; do echo "64 bytes from lies"; done\n',
    );
    await chmod(join(dir, 'ping'), 0o755);
    const path = process.env.PATH;
    process.env.PATH = `${dir}:${path}`;
    try {
      const { out, exitCode } = await runPing([], (stop) => void setTimeout(stop, 500));
      expect([out.length, exitCode]).toEqual([32_768, null]);
      const seen = await checkOnce(checker, 'ping://127.0.0.1', { timeoutMs: 700, request: { count: 1 } });
      expect(seen).toMatchObject({ outcome: 'down', failure: { code: 'connect.timeout' } });
      expect(seen.timings.total).toBeLessThan(1_500_000);
    } finally {
      process.env.PATH = path;
      await rm(dir, { recursive: true, force: true });
    }
  });
});
