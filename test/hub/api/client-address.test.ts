import { describe, expect, test } from 'vitest';
import { clientFinder, isLoopback } from '../../../hub/api/client-address.ts';

const trusted = ['10.0.0.0/8', '2001:db8:1::/48', '192.0.2.7'];
const find = clientFinder(trusted);
const ask = (peer: string, forwardedFor?: string, proto?: string, encrypted = false) =>
  find(peer, (name) => (name === 'x-forwarded-for' ? forwardedFor : proto), encrypted);

describe('who asks', () => {
  const cases: [
    what: string,
    peer: string,
    forwardedFor: string | undefined,
    ip: string,
    proxied: boolean,
  ][] = [
    ['a stranger', '203.0.113.5', undefined, '203.0.113.5', false],
    ['a stranger who claims to be another', '203.0.113.5', '127.0.0.1', '203.0.113.5', false],
    ['a stranger beside the network', '11.0.0.1', '127.0.0.1', '11.0.0.1', false],
    ['through a proxy', '10.1.1.1', '203.0.113.5', '203.0.113.5', true],
    ['through a proxy by its IPv4-mapped address', '::ffff:10.1.1.1', '203.0.113.5', '203.0.113.5', true],
    ['through a proxy that is one address', '192.0.2.7', '203.0.113.5', '203.0.113.5', true],
    ['beside the one address', '192.0.2.8', '203.0.113.5', '192.0.2.8', false],
    ['through two proxies', '10.1.1.1', '203.0.113.5, 10.2.2.2', '203.0.113.5', true],
    ['with an invention in front', '10.1.1.1', '127.0.0.1, 203.0.113.5', '203.0.113.5', true],
    [
      'with a whole invented chain',
      '10.1.1.1',
      '127.0.0.1, 10.9.9.9, 203.0.113.5, 10.2.2.2',
      '203.0.113.5',
      true,
    ],
    ['a proxy itself', '10.1.1.1', undefined, '10.1.1.1', false],
    ['with nonsense', '10.1.1.1', 'unknown', '10.1.1.1', false],
    ['with nonsense behind a stranger', '10.1.1.1', '203.0.113.5, <script>', '10.1.1.1', false],
    ['with a number that some read as an address', '10.1.1.1', '2130706433', '10.1.1.1', false],
    ['with a port', '10.1.1.1', '203.0.113.5:4711', '203.0.113.5', true],
    ['by IPv6 with a port', '2001:db8:1::1', '[2001:db8:2::5]:4711', '2001:db8:2::5', true],
    ['by IPv6', '2001:db8:1::1', '2001:db8:2::5', '2001:db8:2::5', true],
    ['with a zone', 'fe80::1%eth0', undefined, 'fe80::1', false],
    ['nobody', '', undefined, '', false],
  ];
  test.each(cases)('%s', (_, peer, forwardedFor, ip, proxied) => {
    expect(ask(peer, forwardedFor)).toMatchObject({ ip, proxied });
  });

  test('an endless chain is looked at from its end only', () => {
    const hops = Array.from({ length: 100_000 }, () => '10.0.0.1').join(', ');
    const beganMs = performance.now();
    expect(ask('10.1.1.1', hops).ip).toBe('10.0.0.1');
    expect(performance.now() - beganMs).toBeLessThan(200);
  });

  test('https is believed of a trusted proxy only', () => {
    expect(ask('203.0.113.5', undefined, 'https').https).toBe(false);
    expect(ask('10.1.1.1', '203.0.113.5', 'https').https).toBe(true);
    expect(ask('10.1.1.1', '203.0.113.5', 'https, http').https).toBe(false);
    expect(ask('10.1.1.1', '203.0.113.5', undefined, true).https).toBe(true);
    expect(ask('203.0.113.5', undefined, 'http', true).https).toBe(true);
  });

  test.each([
    ['127.0.0.1', true],
    ['127.9.9.9', true],
    ['::1', true],
    ['::ffff:127.0.0.1', true],
    ['10.0.0.1', false],
    ['', false],
    ['localhost', false],
  ])('%s is loopback: %s', (ip, loopback) => {
    expect(isLoopback(ip)).toBe(loopback);
  });
});
