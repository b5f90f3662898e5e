import { Socket } from 'node:net';
import { afterAll, describe, expect, test } from 'vitest';
import { createDestinationGate } from '../../../probe/checks/destination-gate.ts';
import { type OpenSocket, openSocket } from '../../../probe/checks/dial.ts';
import { createTargetPolicy } from '../../../probe/policy/target-policy.ts';
import { checkOnce, startChecker } from './scene.ts';
import { says, startRawServer, whole } from './servers.ts';

const site = await startRawServer(says(whole('hi')));
afterAll(() => site.close());

/** Everything is public to it: what is under test here are the connections. */
const lenient = {
  ...createTargetPolicy({ allowNetworks: [], allowProxy: false, hubOrigins: [] }),
  refuseAddress: () => null,
};

describe('what is dialled', () => {
  test.each([
    ['ECONNREFUSED', 'connect.refused', 'target'],
    ['ETIMEDOUT', 'connect.timeout', 'network'],
    ['ECONNRESET', 'connect.reset', 'target'],
    ['EHOSTUNREACH', 'connect.unreachable', 'network'],
    ['ENETUNREACH', 'connect.unreachable', 'network'],
    ['EMFILE', 'probe.saturated', 'probe'],
    ['EADDRNOTAVAIL', 'probe.saturated', 'probe'],
    ['EODD', 'connect.unreachable', 'network'],
  ])('%s is %s', async (code, expected, source) => {
    const failing: OpenSocket = () => {
      const socket = new Socket();
      process.nextTick(() => socket.destroy(Object.assign(new Error(code), { code })));
      return socket;
    };
    const checker = await startChecker({ policy: lenient, openSocket: failing });
    const seen = await checkOnce(checker, 'http://192.0.2.1/');
    expect(seen.failure).toMatchObject({ code: expected, source });
    expect(seen.timings.connect).not.toBeNull();
    await checker.close();
  });

  test('an address that swallows every packet', async () => {
    const checker = await startChecker({ policy: lenient, openSocket: () => new Socket() });
    const seen = await checkOnce(checker, 'http://192.0.2.1/', { timeoutMs: 100 });
    expect(seen.failure?.code).toBe('connect.timeout');
    expect(seen.timings.connect).toBeGreaterThan(90_000);
    await checker.close();
  });

  test('is an address, in the form that was vetted', async () => {
    const dialled: string[] = [];
    const checker = await startChecker({
      openSocket(address, port) {
        dialled.push(`${address} ${port}`);
        return openSocket(address, port);
      },
    });
    for (const host of [
      '127.0.0.1',
      '2130706433',
      '0x7f.1',
      '0177.0.0.1',
      '127.1',
      '127.0.0.1.',
      'localhost',
      'LocalHost.',
    ])
      expect((await checkOnce(checker, `http://${host}:${site.port}/`)).outcome, host).toBe('up');
    expect(new Set(dialled)).toEqual(new Set([`127.0.0.1 ${site.port}`]));
    await checker.close();
  });

  test('a peer that is not who was dialled gets nothing', async () => {
    // As where something on the way sends a connection elsewhere: the policy sees the peer's own address.
    const checker = await startChecker({
      policy: { ...lenient, refuseAddress: (address) => (address === '127.0.0.1' ? 'no' : null) },
      openSocket: (_, port) => openSocket('127.0.0.1', port),
    });
    const before = site.asked.length;
    const seen = await checkOnce(checker, `http://192.0.2.1:${site.port}/`);
    expect(seen.failure?.code).toBe('policy.blocked');
    expect(site.asked.length).toBe(before);
    await checker.close();
  });
});

describe("a destination's caps", () => {
  test('so many at once, whatever names they go by', async () => {
    const sockets: Socket[] = [];
    const checker = await startChecker({
      policy: lenient,
      limits: { concurrent: 3, perSecond: 100 },
      openSocket() {
        const socket = new Socket();
        sockets.push(socket);
        return socket;
      },
    });
    const wish = (host: string) => ({ timeoutMs: 200, request: { resolveTo: host } });
    const all = await Promise.all([
      ...[1, 2, 3, 4, 5].map((n) => checkOnce(checker, `http://shop-${n}.test/`, wish('192.0.2.1'))),
      checkOnce(checker, 'http://other.test/', wish('192.0.2.2')),
      checkOnce(checker, 'http://shop-1.test:8080/', wish('192.0.2.1')),
    ]);
    const codes = all.map(({ failure }) => failure?.code);
    expect(codes.filter((code) => code === 'probe.saturated')).toHaveLength(2);
    expect(sockets).toHaveLength(5);
    // When they have gone there is room again.
    const after = await checkOnce(checker, 'http://shop-1.test/', wish('192.0.2.1'));
    expect(after.failure?.code).toBe('connect.timeout');
    await checker.close();
  });

  test('this machine is not capped: its owner named it', async () => {
    const checker = await startChecker({ limits: { concurrent: 1, perSecond: 1 } });
    const all = await Promise.all(
      Array.from({ length: 20 }, () => checkOnce(checker, `http://127.0.0.1:${site.port}/`)),
    );
    for (const { outcome } of all) expect(outcome).toBe('up');
    await checker.close();
  });

  test('so many a second, after a pause as many at once', () => {
    const gate = createDestinationGate({ concurrent: 1000, perSecond: 10 });
    const enter = (nowMs: number) => {
      const refused = gate.enter('a', nowMs);
      if (refused === null) gate.leave('a');
      return refused === null;
    };
    const let10 = Array.from({ length: 15 }, () => enter(0));
    expect(let10.filter(Boolean)).toHaveLength(10);
    expect([enter(50), enter(100), enter(100)]).toEqual([false, true, false]);
    expect(gate.enter('b', 100)).toBeNull();
    const later = Array.from({ length: 15 }, () => enter(60_000));
    expect(later.filter(Boolean)).toHaveLength(10);
    // A clock that goes back gives nothing away.
    expect(enter(0)).toBe(false);
  });
});
