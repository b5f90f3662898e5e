import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Checker } from '../../../probe/checks/check.ts';
import { openDatagram } from '../../../probe/checks/dns-datagram.ts';
import type { FailureCode } from '../../../shared/failure.ts';
import { dnsPrograms, type RealDns, startRealDns } from './real-dns.ts';
import { checkOnce, policyOf, startChecker, type Wish } from './scene.ts';

const programs = dnsPrograms();

describe.skipIf(!programs)('BIND, NSD and Unbound', () => {
  let dns: RealDns;
  let checker: Checker;
  beforeAll(async () => {
    if (programs) dns = await startRealDns(programs);
    checker = await startChecker({ dnsServer: dns.resolver });
  }, 60_000);
  afterAll(async () => {
    await checker?.close();
    await dns?.stop();
  });
  const check = (url: string, wish: Wish = {}) => checkOnce(checker, url, { timeoutMs: 5000, ...wish });

  const types: readonly (readonly [question: string, answers: readonly string[]])[] = [
    ['shop.example', ['A 192.0.2.1', 'A 192.0.2.2']],
    ['shop.example?type=aaaa', ['AAAA 2001:db8::1']],
    ['shop.example?type=MX', ['MX 10 mail.shop.example.']],
    ['shop.example?type=TXT', ['TXT "v=spf1 include:_spf.shop.example" " -all"']],
    ['shop.example?type=NS', ['NS ns1.shop.example.', 'NS ns2.shop.example.']],
    ['shop.example?type=SOA', ['SOA ns1.shop.example. root.shop.example. 20261102 3600 600 86400 60']],
    ['_http._tcp.shop.example?type=SRV', ['SRV 1 2 443 www.shop.example.']],
    ['shop.example?type=CAA', ['CAA 0 issue "ca.example"']],
    ['www.shop.example?type=CNAME', ['CNAME shop.example.']],
    ['www.shop.example', ['A 192.0.2.1', 'A 192.0.2.2', 'CNAME shop.example.']],
    ['192.0.2.1?type=PTR', ['PTR www.shop.example.']],
  ];
  describe.each(['udp', 'tcp'] as const)('%s', (transport) => {
    test.each(types)('%s', async (question, answers) => {
      for (const server of [dns.bind, dns.first, dns.resolver]) {
        const seen = await check(`dns://${server}/${question}`, { request: { transport } });
        expect(seen).toMatchObject({ outcome: 'up', remoteIp: server.replace(/:.*/, '') });
        expect([...((seen.facts?.answers ?? []) as string[])].sort()).toEqual(answers);
      }
    });
  });

  const rows: readonly (readonly [string, url: () => string, Wish, FailureCode | null, object])[] = [
    [
      'no such name',
      () => `dns://${dns.resolver}/none.shop.example`,
      {},
      'expect.rcode',
      { rcode: 'NXDOMAIN' },
    ],
    [
      'a name without such a record',
      () => `dns://${dns.resolver}/ns1.shop.example?type=MX`,
      {},
      'expect.answer',
      { rcode: 'NOERROR', answerCount: 0 },
    ],
    ['a foreign zone', () => `dns://${dns.bind}/elsewhere.test`, {}, 'expect.rcode', { rcode: 'REFUSED' }],
    [
      'authentic data',
      () => `dns://${dns.resolver}/shop.example`,
      { expect: { flags: { ad: true, aa: false, ra: true } } },
      null,
      { flags: ['rd', 'ra', 'ad'] },
    ],
    [
      'an answer of authority',
      () => `dns://${dns.bind}/shop.example`,
      { request: { recursion: false }, expect: { flags: { aa: true, ad: false, rd: false } } },
      null,
      { flags: ['aa'] },
    ],
    [
      'signatures',
      () => `dns://${dns.bind}/shop.example`,
      {
        request: { dnssec: true },
        expect: { answers: { matches: ['\\tRRSIG\\t'], equals: ['192.0.2.1', '192.0.2.2'] } },
      },
      null,
      { answerCount: 2 },
    ],
    ['a forged zone', () => `dns://${dns.resolver}/bogus.example`, {}, 'expect.rcode', { rcode: 'SERVFAIL' }],
    [
      'what is too much for a datagram',
      () => `dns://${dns.resolver}/big.shop.example?type=TXT`,
      {},
      null,
      { transport: 'tcp', truncated: true, answerCount: 20 },
    ],
    ["the machine's own resolver", () => 'dns:///shop.example', {}, null, { rcode: 'NOERROR' }],
  ];
  test.each(rows)('%s', async (_, url, wish, code, facts) => {
    const seen = await check(url(), wish);
    expect(seen.failure?.code ?? null).toBe(code);
    expect(seen.facts).toMatchObject(facts);
  });

  test('why a forged zone has no answer', async () => {
    const { facts } = await check(`dns://${dns.resolver}/bogus.example`);
    expect(facts?.extendedError).toMatch(/^(6 DNSSEC Bogus|9 DNSKEY Missing|10 RRSIGs Missing)/);
  });

  test('DNS over TLS', async () => {
    const request = { transport: 'tls', serverName: 'resolver.test', tls: { ca: dns.ca } };
    const url = `dns://127.0.0.1:${dns.tlsPort}/shop.example`;
    const seen = await check(url, { request });
    expect(seen).toMatchObject({ outcome: 'up', facts: { transport: 'tls' }, tls: { version: 'TLSv1.3' } });
    expect(await check(url, { request: { ...request, serverName: 'other.test' } })).toMatchObject({
      failure: { code: 'tls.hostname' },
    });
  });

  describe('each name server of a zone', () => {
    const each = { request: { nameservers: 'each' } };

    test('versions that differ are told', async () => {
      const seen = await check(`dns://${dns.resolver}/www.shop.example`, each);
      expect(seen).toMatchObject({ outcome: 'down', failure: { code: 'expect.serial' } });
      expect(seen.failure?.message).toBe(
        'ns1.shop.example holds version 20261102 of the zone, ns2.shop.example 20261101',
      );
      expect(seen.facts).toMatchObject({
        zone: 'shop.example',
        serials: [20_261_102, 20_261_101],
        nameservers: [
          { name: 'ns1.shop.example', ip: dns.first, rcode: 'NOERROR', serial: 20_261_102 },
          { name: 'ns2.shop.example', ip: dns.second, rcode: 'NOERROR', serial: 20_261_101 },
        ],
      });
      expect(seen.timings.dns).toBeGreaterThan(0);
      expect(seen.timings.wait).toBeGreaterThan(0);
    });

    test.each(['udp', 'tcp'])('over %s, and what is expected of each', async (transport) => {
      const wish = {
        request: { nameservers: 'each', transport },
        expect: {
          sameSerial: false,
          flags: { aa: true, rd: false },
          answers: { everyMatches: ['IN\\tSOA\\tns1\\.'] },
        },
      };
      const seen = await check(`dns:///shop.example?type=SOA`, wish);
      expect(seen).toMatchObject({ outcome: 'up', failure: null });
    });

    test('one that fails is named', async () => {
      const seen = await check(`dns://${dns.resolver}/lame.example`, { ...each, timeoutMs: 1500 });
      expect(seen.failure?.message).toMatch(/^gone\.lame\.example: 127\.53\.0\.9:53 refused/);
      expect(seen).toMatchObject({
        outcome: 'down',
        facts: { nameservers: [{ name: 'gone.lame.example', failure: 'connect.refused' }, { serial: 7 }] },
      });
    });

    test('a zone that nobody knows', async () => {
      const seen = await check(`dns://${dns.first}/nowhere.test`, each);
      expect(seen).toMatchObject({ outcome: 'down', failure: { code: 'dns.servfail', source: 'resolver' } });
    });

    test('a name server within what the policy refuses: none of them is asked', async () => {
      const opened: string[] = [];
      const careful = await startChecker({
        policy: policyOf(dns.resolver, dns.first),
        dnsServer: dns.resolver,
        openDatagram: (address, port) => {
          opened.push(address);
          return openDatagram(address, port);
        },
      });
      const seen = await checkOnce(careful, 'dns:///shop.example', { timeoutMs: 5000, ...each });
      expect(seen).toMatchObject({ outcome: 'skipped', failure: { code: 'policy.blocked' } });
      expect(seen.failure?.message).toContain(dns.second);
      expect(new Set(opened)).toEqual(new Set(['127.0.0.1']));
      await careful.close();
    });
  });
});
