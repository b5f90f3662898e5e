import { Socket } from 'node:net';
import fc from 'fast-check';
import { afterAll, describe, expect, onTestFinished, test } from 'vitest';
import { type OpenSocket, openSocket } from '../../../probe/checks/dial.ts';
import { inTurns } from '../../../probe/checks/race.ts';
import { createTargetPolicy } from '../../../probe/policy/target-policy.ts';
import type { Observation } from '../../../shared/result.ts';
import { startDnsServer } from './dns-server.ts';
import { checkOnce, startChecker, type Wish } from './scene.ts';
import { says, startRawServer, whole } from './servers.ts';

const site = await startRawServer(says(whole('hi')));
afterAll(() => site.close());

/** What an address does: a connection after so many milliseconds, an error after so many, or nothing for ever. */
type Manner = number | readonly [code: string, afterMs: number] | 'silent';

/** 192.0.2.x and 2001:db8::x are everybody's documentation: nothing of them is really dialled. */
const lenient = createTargetPolicy({ allowNetworks: [], allowProxy: false, hubOrigins: [] });
const policy = {
  ...lenient,
  refuseAddress: (address: string) => (address.startsWith('10.') ? 'private' : null),
};

interface Scene {
  readonly four?: readonly string[] | 'silence' | 'SERVFAIL';
  readonly six?: readonly string[] | 'silence' | 'SERVFAIL';
  readonly sixAfterMs?: number;
  readonly manners: Readonly<Record<string, Manner>>;
}

/** One check of a name with these addresses; what was dialled, and the sockets, in order. */
async function race({ four = [], six = [], sixAfterMs = 0, manners }: Scene, wish: Wish = {}) {
  const dns = await startDnsServer(
    (_, type) => (type === 'A' ? four : six),
    (_, type) => (type === 'AAAA' ? sixAfterMs : 0),
  );
  onTestFinished(() => dns.close());
  const dialled: string[] = [];
  const sockets: Socket[] = [];
  const open: OpenSocket = (address) => {
    dialled.push(address);
    const manner = manners[address] ?? 'silent';
    // It connects to the site, and is only heard of later.
    const socket = typeof manner === 'number' ? openSocket('127.0.0.1', site.port) : new Socket();
    sockets.push(socket);
    if (typeof manner === 'number' && manner > 0) {
      const emit = socket.emit.bind(socket);
      socket.emit = ((event: string, ...rest: unknown[]) => {
        if (event !== 'connect') return emit(event, ...rest);
        setTimeout(() => socket.destroyed || emit(event, ...rest), manner);
        return true;
      }) as Socket['emit'];
    } else if (typeof manner === 'object') {
      const [code, afterMs] = manner;
      setTimeout(() => socket.destroy(Object.assign(new Error(code), { code })), afterMs);
    }
    return socket;
  };
  const checker = await startChecker({ policy, openSocket: open, dnsServer: dns.address });
  onTestFinished(() => checker.close());
  const seen = await checkOnce(checker, `http://shop.test:${site.port}/`, wish);
  return { seen, dialled, sockets };
}

const v4 = '192.0.2.1';
const v4b = '192.0.2.2';
const v6 = '2001:db8::1';
const told = ({ outcome, failure }: Observation) => `${outcome} ${failure?.code ?? ''}`.trim();
const tried = (...all: readonly (readonly [address: string, outcome: string])[]) =>
  all.map(([address, outcome]) => ({ address, outcome }));

describe('addresses race', () => {
  test('one that answers is all that is dialled, and nothing is told of it', async () => {
    const { seen, dialled } = await race({ four: [v4, v4b], six: [v6], manners: { [v4]: 0, [v6]: 0 } });
    expect(told(seen)).toBe('up');
    expect(dialled).toEqual([v4]);
    expect(seen.facts).toBeNull();
  });

  test('the other family has its turn after 250 ms; the first, which then comes too late, is given up and not counted', async () => {
    const { seen, dialled, sockets } = await race({
      four: [v4, v4b],
      six: [v6],
      manners: { [v4]: 2000, [v6]: 0 },
    });
    expect(told(seen)).toBe('up');
    expect(dialled).toEqual([v4, v6]);
    expect(seen.facts).toEqual({ family: 6, tried: tried([v4, 'given up'], [v6, 'connected']) });
    expect(seen.timings.connect).toBeGreaterThan(245_000);
    expect(seen.timings.connect).toBeLessThan(600_000);
    expect(sockets[0]?.destroyed).toBe(true);
    expect(seen.status).toBe(200);
  });

  test('the first still wins where it answers before the other', async () => {
    const { seen, sockets } = await race({ four: [v4], six: [v6], manners: { [v4]: 400, [v6]: 'silent' } });
    expect(told(seen)).toBe('up');
    expect(seen.facts).toEqual({ family: 4, tried: tried([v4, 'connected'], [v6, 'given up']) });
    expect(sockets[1]?.destroyed).toBe(true);
  });

  test('an address that refuses lets the next have its turn at once', async () => {
    const { seen, dialled } = await race({
      four: [v4],
      six: [v6],
      manners: { [v4]: ['ECONNREFUSED', 5], [v6]: 0 },
    });
    expect(told(seen)).toBe('up');
    expect(dialled).toEqual([v4, v6]);
    expect(seen.facts).toEqual({ family: 6, tried: tried([v4, 'connect.refused'], [v6, 'connected']) });
    expect(seen.timings.connect).toBeLessThan(200_000);
  });

  test('without another family the next of the same has its turn', async () => {
    const { seen } = await race({ four: [v4, v4b], manners: { [v4b]: 0 } });
    expect(told(seen)).toBe('up');
    expect(seen.facts).toEqual({ family: 4, tried: tried([v4, 'given up'], [v4b, 'connected']) });
  });

  test.each<[string, Manner, Manner, string, string, string]>([
    [
      'refused beats unreachable',
      ['ECONNREFUSED', 1],
      ['ENETUNREACH', 1],
      'down connect.refused',
      'connect.refused',
      'connect.unreachable',
    ],
    [
      'in whatever order',
      ['ENETUNREACH', 1],
      ['ECONNREFUSED', 1],
      'down connect.refused',
      'connect.unreachable',
      'connect.refused',
    ],
    [
      'unreachable is so',
      ['EHOSTUNREACH', 1],
      ['ENETUNREACH', 1],
      'down connect.unreachable',
      'connect.unreachable',
      'connect.unreachable',
    ],
    [
      'refused beats silence',
      ['ECONNREFUSED', 1],
      'silent',
      'down connect.refused',
      'connect.refused',
      'connect.timeout',
    ],
    ['silence of both', 'silent', 'silent', 'down connect.timeout', 'connect.timeout', 'connect.timeout'],
    [
      'what this machine lacks says nothing of the target',
      ['ECONNREFUSED', 1],
      ['EMFILE', 1],
      'skipped probe.saturated',
      'connect.refused',
      'probe.saturated',
    ],
  ])('all fail: %s', async (_, first, second, expected, one, other) => {
    const scene = { four: [v4], six: [v6], manners: { [v4]: first, [v6]: second } };
    const { seen } = await race(scene, { timeoutMs: 500 });
    expect(told(seen)).toBe(expected);
    expect(seen.facts).toEqual({ family: null, tried: tried([v4, one], [v6, other]) });
    expect(seen.timings.total).toBeLessThan(800_000);
  });

  test('what the policy refuses is not in the race', async () => {
    const { seen, dialled } = await race({ four: ['10.0.0.1'], six: [v6], manners: { [v6]: 0 } });
    expect(told(seen)).toBe('up');
    expect(dialled).toEqual([v6]);
  });

  test('late addresses are vetted, too', async () => {
    const late = {
      four: [v4],
      six: ['fe80::1'],
      sixAfterMs: 60,
      manners: { [v4]: ['ECONNREFUSED', 90] as const },
    };
    const { dialled } = await race(late);
    expect(dialled).toEqual([v4, 'fe80::1']);
    // The same with a policy that knows what link-local means.
    const dns = await startDnsServer(
      (_, type) => (type === 'A' ? ['127.0.0.1'] : ['fe80::1', 'fd00::1', '::ffff:a00:1']),
      (_, type) => (type === 'AAAA' ? 30 : 0),
    );
    onTestFinished(() => dns.close());
    const asked: string[] = [];
    const checker = await startChecker({
      dnsServer: dns.address,
      openSocket(address) {
        asked.push(address);
        return new Socket();
      },
    });
    onTestFinished(() => checker.close());
    const seen = await checkOnce(checker, 'http://shop.test/', { timeoutMs: 600 });
    expect(told(seen)).toBe('down connect.timeout');
    expect(asked).toEqual(['127.0.0.1']);
  });
});

describe('a slow AAAA', () => {
  test('delays nothing', async () => {
    const { seen } = await race({ four: [v4], six: 'silence', manners: { [v4]: 0 } });
    expect(told(seen)).toBe('up');
    expect(seen.timings.total).toBeLessThan(200_000);
  });

  test('joins the race where it comes in time', async () => {
    const { seen } = await race({
      four: [v4],
      six: [v6],
      sixAfterMs: 100,
      manners: { [v4]: 'silent', [v6]: 0 },
    });
    expect(told(seen)).toBe('up');
    expect(seen.facts).toEqual({ family: 6, tried: tried([v4, 'given up'], [v6, 'connected']) });
    expect(seen.timings.connect).toBeGreaterThan(245_000);
  });

  test('joins at once where its turn has come', async () => {
    const { seen } = await race({
      four: [v4],
      six: [v6],
      sixAfterMs: 400,
      manners: { [v4]: 'silent', [v6]: 0 },
    });
    expect(told(seen)).toBe('up');
    expect(seen.timings.connect).toBeGreaterThan(380_000);
    expect(seen.timings.connect).toBeLessThan(900_000);
  });

  test('is waited for 50 ms where all others have failed', async () => {
    const refused = { [v4]: ['ECONNREFUSED', 1] as const, [v6]: 0 };
    const soon = await race({ four: [v4], six: [v6], sixAfterMs: 30, manners: refused });
    expect(told(soon.seen)).toBe('up');
    const never = await race({ four: [v4], six: 'silence', manners: refused });
    expect(told(never.seen)).toBe('down connect.refused');
    expect(never.seen.timings.total).toBeLessThan(400_000);
  });
});

test('ipFamily asks for one family alone', async () => {
  for (const [ipFamily, expected] of [
    ['4', v4],
    ['6', v6],
  ] as const) {
    const scene = { four: [v4], six: [v6], manners: { [v4]: 0, [v6]: 0 } };
    const { seen, dialled } = await race(scene, { request: { ipFamily } });
    expect(told(seen)).toBe('up');
    expect(dialled).toEqual([expected]);
  }
});

test('families in turn: nothing lost, nothing new, each in its own order', () => {
  const address = fc.oneof(fc.ipV4(), fc.ipV6());
  fc.assert(
    fc.property(fc.array(address, { maxLength: 16 }), (addresses) => {
      const turns = inTurns(addresses);
      expect(turns.toSorted()).toEqual(addresses.toSorted());
      const colons = (all: readonly string[]) => all.filter((each) => each.includes(':'));
      expect(colons(turns)).toEqual(colons(addresses));
      const [first, second] = turns;
      const six = colons(addresses).length;
      if (six > 0 && six < addresses.length) expect(first?.includes(':')).not.toBe(second?.includes(':'));
    }),
  );
});
