import { once } from 'node:events';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, expect, onTestFinished, test } from 'vitest';
import { openSocket } from '../../../probe/checks/dial.ts';
import { factsText, maxFactsBytes } from '../../../shared/facts.ts';
import type { Observation } from '../../../shared/result.ts';
import { startDnsServer } from './dns-server.ts';
import { checkOnce, policyOf, startChecker, type Wish } from './scene.ts';

const good: RequestListener = (_, response) => response.end('the quick brown fox');
const broken: RequestListener = (_, response) => response.writeHead(500).end('oops');
const silent: RequestListener = () => undefined;
const slowly =
  (ms: number): RequestListener =>
  (_, response) =>
    void setTimeout(() => response.end('the quick brown fox'), ms);

/** One port on several addresses of this machine, each with a manner of its own; a missing one refuses. */
async function startSites(manners: Readonly<Record<string, RequestListener>>): Promise<number> {
  let port = 0;
  for (const [address, manner] of Object.entries(manners)) {
    const server = createServer(manner);
    server.listen(port, address);
    await once(server, 'listening');
    port = (server.address() as AddressInfo).port;
    onTestFinished(() => {
      server.closeAllConnections();
      server.close();
    });
  }
  return port;
}

interface Names {
  readonly four: readonly string[];
  readonly six?: readonly string[] | 'silence';
  readonly sixAfterMs?: number;
}

async function checkEach(
  { four, six = [], sixAfterMs = 0 }: Names,
  port: number,
  path = '/',
  { request, ...wish }: Wish = {},
) {
  const dns = await startDnsServer(
    (_, type) => (type === 'A' ? four : six),
    (_, type) => (type === 'AAAA' ? sixAfterMs : 0),
  );
  onTestFinished(() => dns.close());
  const dialled: string[] = [];
  const checker = await startChecker({
    dnsServer: dns.address,
    policy: policyOf('127.0.0.0/8', '::1'),
    openSocket(address, at) {
      dialled.push(address);
      return openSocket(address, at);
    },
  });
  onTestFinished(() => checker.close());
  const seen = await checkOnce(checker, `http://shop.test:${port}${path}`, {
    ...wish,
    request: { addresses: 'each', ...request },
  });
  return { seen, dialled: dialled.toSorted() };
}

const told = ({ outcome, failure }: Observation) => `${outcome} ${failure?.code ?? ''}`.trim();
const codes = ({ facts }: Observation) =>
  Object.fromEntries(
    ((facts?.addresses ?? []) as { address: string; outcome: string; code: string | null }[]).map(
      ({ address, outcome, code }) => [address, code ?? outcome],
    ),
  );
const [a, b, c] = ['127.0.0.1', '127.0.0.2', '127.0.0.3'] as const;
const all = [a, b, c];

describe('every address of a name', () => {
  test('is asked over a connection of its own; the slowest is the one that is reported', async () => {
    const port = await startSites({ [a]: good, [b]: slowly(80), [c]: good });
    const { seen, dialled } = await checkEach({ four: all }, port);
    expect(told(seen)).toBe('up');
    expect(dialled).toEqual(all);
    expect(codes(seen)).toEqual({ [a]: 'up', [b]: 'up', [c]: 'up' });
    expect(seen.remoteIp).toBe(b);
    expect(seen.timings.total).toBeGreaterThan(78_000);
    expect(seen.timings.dns).toBeGreaterThan(0);
    const { addresses } = seen.facts as { addresses: { totalUs: number }[] };
    expect(addresses.map(({ totalUs }) => totalUs >= (seen.timings.dns ?? 0))).toEqual([true, true, true]);
  });

  test.each<[string, Readonly<Record<string, RequestListener>>, Wish, string, Record<string, string>]>([
    [
      'one is broken',
      { [a]: good, [b]: broken, [c]: good },
      {},
      'down expect.status',
      { [b]: 'expect.status' },
    ],
    ['one refuses', { [a]: good, [b]: good }, {}, 'down connect.refused', { [c]: 'connect.refused' }],
    [
      'the first is silent',
      { [a]: silent, [b]: good, [c]: good },
      { timeoutMs: 400 },
      'down wait.timeout',
      { [a]: 'wait.timeout' },
    ],
    [
      'one is slow',
      { [a]: good, [b]: slowly(150), [c]: good },
      { expect: { slowerThan: '100ms' } },
      'degraded',
      { [b]: 'degraded' },
    ],
    [
      'one has another body',
      { [a]: good, [b]: (_, r) => r.end('wolf'), [c]: good },
      { expect: { body: { matches: ['fox'] } } },
      'down expect.body',
      { [b]: 'expect.body' },
    ],
    [
      'down is worse than slow',
      { [a]: slowly(150), [b]: broken, [c]: good },
      { expect: { slowerThan: '100ms' } },
      'down expect.status',
      { [a]: 'degraded', [b]: 'expect.status' },
    ],
  ])('the worst counts: %s', async (_, manners, wish, expected, others) => {
    const port = await startSites(manners);
    const { seen, dialled } = await checkEach({ four: all }, port, '/', wish);
    expect(told(seen), seen.failure?.message).toBe(expected);
    expect(dialled).toEqual(all);
    expect(codes(seen)).toEqual({ [a]: 'up', [b]: 'up', [c]: 'up', ...others });
    expect(seen.timings.total).toBeLessThan(((wish.timeoutMs ?? 2000) + 400) * 1000);
  });

  test('one deadline over all, the lookup too; it is the one that messages tell', async () => {
    const port = await startSites({ [a]: silent });
    const { seen } = await checkEach({ four: [a], six: [], sixAfterMs: 200 }, port, '/', { timeoutMs: 500 });
    expect(told(seen)).toBe('down wait.timeout');
    expect(seen.failure?.message).toMatch(/within 500 ms/);
    expect(seen.timings.dns).toBeGreaterThan(190_000);
    expect(seen.timings.total).toBeGreaterThan(490_000);
    expect(seen.timings.total).toBeLessThan(750_000);
  });

  test('both families are waited for', async () => {
    const port = await startSites({ [a]: good });
    const late = await checkEach({ four: [a], six: ['::1'], sixAfterMs: 100 }, port);
    expect(Object.keys(codes(late.seen))).toEqual([a, '::1']);
    const never = await checkEach({ four: [a], six: 'silence' }, port, '/', { timeoutMs: 400 });
    expect(told(never.seen)).toBe('down dns.timeout');
    expect(never.dialled).toEqual([]);
  });

  test('eight at most, and their facts fit', async () => {
    const many = Array.from({ length: 12 }, (_, at) => `127.0.1.${at + 1}`);
    const port = await startSites(Object.fromEntries(many.map((address) => [address, broken])));
    const { seen, dialled } = await checkEach({ four: many }, port);
    expect(dialled).toHaveLength(8);
    expect(Object.keys(codes(seen))).toHaveLength(8);
    expect(Buffer.byteLength(factsText(seen.facts ?? {}))).toBeLessThan(maxFactsBytes / 2);
  });

  test('what the policy refuses is told and does not count; where all are refused the check is blocked', async () => {
    const port = await startSites({ [a]: good });
    const mixed = await checkEach({ four: ['10.0.0.1', a, '169.254.169.254'] }, port);
    expect(told(mixed.seen)).toBe('up');
    expect(mixed.dialled).toEqual([a]);
    expect(codes(mixed.seen)).toEqual({
      '10.0.0.1': 'policy.blocked',
      [a]: 'up',
      '169.254.169.254': 'policy.blocked',
    });
    const none = await checkEach({ four: ['10.0.0.1', '10.0.0.2'] }, port);
    expect(told(none.seen)).toBe('skipped policy.blocked');
    expect(none.dialled).toEqual([]);
  });

  test('a redirect within the origin stays at its address, one that leaves goes where the name says', async () => {
    const away: RequestListener = (request, response) => {
      if (request.url === '/') response.writeHead(302, { location: '/here' }).end();
      else response.end('the quick brown fox');
    };
    const port = await startSites({ [a]: away, [b]: away });
    const { seen, dialled } = await checkEach({ four: [a, b] }, port);
    expect(told(seen)).toBe('up');
    expect(seen.redirects).toBe(1);
    expect(dialled).toEqual([a, a, b, b]);
  });

  test('a name that is not there, and one that is the hub', async () => {
    const gone = await checkEach({ four: [] }, 80);
    expect(told(gone.seen)).toBe('down dns.nxdomain');
    const checker = await startChecker();
    onTestFinished(() => checker.close());
    const hub = await checkOnce(checker, 'https://hub.parallax.test:8443/', {
      request: { addresses: 'each' },
    });
    expect(told(hub)).toBe('skipped policy.blocked');
  });
});
