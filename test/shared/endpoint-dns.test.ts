import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import * as z from 'zod';
import { dnsQuestionOf } from '../../shared/dns-question.ts';
import { endpointSchemas } from '../../shared/endpoint.ts';
import { validateEndpoint } from '../../shared/endpoint-document.ts';

const problemsOf = (document: object): string[] => {
  const read = validateEndpoint({ name: 'a', ...document });
  return 'problems' in read ? read.problems.map(({ path, message }) => `${path.join('.')}: ${message}`) : [];
};

describe('dns URLs', () => {
  const good: readonly (readonly [url: string, object])[] = [
    ['dns:///shop.example', { server: null, port: null, name: 'shop.example', type: 'A' }],
    [
      'dns://9.9.9.9/Shop.Example.?type=mx',
      { server: '9.9.9.9', port: null, name: 'shop.example', type: 'MX' },
    ],
    [
      'dns://[2620:fe::fe]:5353/a.b?type=TXT',
      { server: '[2620:fe::fe]', port: 5353, name: 'a.b', type: 'TXT' },
    ],
    [
      'dns://ns1.example/_dmarc.shop.example?type=TXT',
      { server: 'ns1.example', name: '_dmarc.shop.example' },
    ],
    ['dns:///192.0.2.1?type=PTR', { name: '1.2.0.192.in-addr.arpa', type: 'PTR' }],
    [
      'dns:///2001:db8::1?type=PTR',
      { name: '1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa' },
    ],
    ['dns:///1.2.0.192.in-addr.arpa?type=PTR', { name: '1.2.0.192.in-addr.arpa' }],
    ['dns:///1/26.2.0.192.in-addr.arpa?type=PTR', { name: '1/26.2.0.192.in-addr.arpa' }],
    ['dns:///192.0.2.1', { name: '192.0.2.1', type: 'A' }],
    ['dns:///b%C3%BCcher.example', { name: 'xn--bcher-kva.example' }],
    ['dns://9.9.9.9/?type=NS', { name: '', type: 'NS' }],
  ];
  test.each(good)('%s', (url, asked) => {
    expect(dnsQuestionOf(new URL(url))).toMatchObject(asked);
    expect(problemsOf({ url })).toEqual([]);
  });

  const bad: readonly (readonly [url: string, says: RegExp])[] = [
    ['dns://9.9.9.9', /has no name/],
    ['dns://9.9.9.9/', /has no name/],
    ['dns:///a?type=ANY', /'ANY' is no type/],
    ['dns:///a?type=', /'' is no type/],
    ['dns:///a?type=constructor', /no type/],
    ['dns:///a?typ=A', /'typ' means nothing here/],
    ['dns:///a?type=A&type=MX', /one type/],
    ['dns:///a..b', /not a name/],
    [`dns:///${'a'.repeat(64)}.b`, /not a name/],
    [`dns:///${'a.'.repeat(130)}b`, /not a name/],
    ['dns:///a%20b', /not a name/],
    ['dns:///a%5cb', /not a name/],
    ['dns:///a%', /cannot be read/],
    ['dns:///a#b', /no #/],
    ['dns://u:p@9.9.9.9/a', /no user name/],
  ];
  test.each(bad)('%s', (url, says) => expect(problemsOf({ url }).join()).toMatch(says));

  test('a name of plain labels is taken as it is, in lower case', () => {
    const label = fc.stringMatching(/^[A-Za-z0-9_-]{1,20}$/);
    fc.assert(
      fc.property(fc.array(label, { minLength: 1, maxLength: 5 }), (labels) => {
        const name = labels.join('.');
        expect(dnsQuestionOf(new URL(`dns:///${name}`))).toMatchObject({ name: name.toLowerCase() });
      }),
    );
  });
});

describe('what cannot be together', () => {
  const url = 'dns:///shop.example';
  test.each([
    [{ url, request: { transport: 'tls' } }, /tls needs a server/],
    [{ url, request: { resolveTo: '9.9.9.9' } }, /needs a server/],
    [{ url: 'dns://a/b', request: { serverName: 'a.example' } }, /only for transport tls/],
    [{ url: 'dns://a/b', request: { transport: 'tls', nameservers: 'each' } }, /over udp or tcp/],
    [{ url, expect: { ttl: { min: '1h', max: '1m' } } }, /more than max/],
    [{ url, expect: { rcode: 'OKAY' } }, /expect\.rcode/],
    [{ url, expect: { answers: { matches: ['(?=a)'] } } }, /lookaround/],
    [{ url, request: { recurson: true } }, /recursion/],
    [{ url, expect: { flags: { ax: true } } }, /flags/],
    [{ url: 'ping://a:80' }, /no port/],
    [{ url: 'ping://a/b' }, /'\/b' means nothing/],
    [{ url: 'ping://' }, /no host|not a URL/],
    [{ url: 'ping://a', request: { count: 20, interval: '10s' } }, /at most 1m/],
    [{ url: 'ping://a', request: { size: 8 } }, /size/],
    [{ url: 'ping://a', request: { interval: '10ms' } }, /200ms/],
    [{ url: 'ping://a', expect: { maxLossPercent: 100 } }, /maxLossPercent/],
  ] as const)('%j', (document, says) => expect(problemsOf(document).join()).toMatch(says));
});

test('what is written comes back as it was', () => {
  const dns = {
    name: 'a',
    url: 'dns://9.9.9.9/shop.example?type=TXT',
    request: { transport: 'tcp', recursion: false, nameservers: 'each' },
    expect: {
      rcode: ['NOERROR', 'NXDOMAIN'],
      answers: { matches: ['a+'], equals: ['x'] },
      flags: { ad: true },
      ttl: { min: '0ms', max: '1d' },
      slowerThan: '250ms',
    },
  };
  expect(z.encode(endpointSchemas.dns, endpointSchemas.dns.parse(dns))).toMatchObject(dns);
  const one = { ...dns, expect: { rcode: 'NXDOMAIN' } };
  expect(z.encode(endpointSchemas.dns, endpointSchemas.dns.parse(one))).toMatchObject(one);
  const ping = {
    name: 'a',
    url: 'ping://a',
    request: { count: 5, interval: '1s', ttl: 3 },
    expect: { maxLossPercent: 20, maxJitter: '30ms' },
  };
  expect(z.encode(endpointSchemas.ping, endpointSchemas.ping.parse(ping))).toMatchObject(ping);
});
