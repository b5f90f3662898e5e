import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Checker } from '../../../probe/checks/check.ts';
import { parseHosts, parseSearchList, searchNames } from '../../../probe/checks/hosts-file.ts';
import { createNameResolver, type IpFamily } from '../../../probe/checks/resolve.ts';
import { newTrace } from '../../../probe/checks/trace.ts';
import { type DnsServer, startDnsServer, type Zone } from './dns-server.ts';
import { checkOnce, startChecker } from './scene.ts';
import { type RawServer, says, startRawServer, whole } from './servers.ts';

const both: Readonly<Record<string, { readonly A?: string[]; readonly AAAA?: string[] }>> = {
  'shop.test': { A: ['127.0.0.1'] },
  'six.test': { AAAA: ['::1'] },
  'two.test': { A: ['127.0.0.1'], AAAA: ['::1'] },
  'private.test': { A: ['10.0.0.7'] },
  'mixed.test': { A: ['10.0.0.7', '127.0.0.1'] },
  'mapped.test': { AAAA: ['::ffff:a00:7'] },
  'refusing-first.test': { A: ['127.0.0.9', '127.0.0.1'] },
  'short.search.test': { A: ['127.0.0.1'] },
};
let flips = 0;
const zone: Zone = (name, type) => {
  if (name === 'silent.test') return 'silence';
  if (name === 'broken.test') return 'SERVFAIL';
  if (name === 'refused.test') return 'REFUSED';
  if (name === 'half.test') return type === 'A' ? ['127.0.0.1'] : 'silence';
  if (name === 'rebinding.test') {
    if (type === 'A') flips += 1;
    return type === 'AAAA' ? [] : [flips % 2 === 1 ? '127.0.0.1' : '169.254.169.254'];
  }
  const found = both[name];
  return found ? (found[type] ?? []) : 'NXDOMAIN';
};

let dns: DnsServer;
let checker: Checker;
let site: RawServer;

beforeAll(async () => {
  dns = await startDnsServer(zone);
  checker = await startChecker({ dnsServer: dns.address });
  site = await startRawServer(says(whole('hi')));
});
afterAll(async () => {
  await checker.close();
  await Promise.all([dns.close(), site.close()]);
});

describe('names', () => {
  test.each<[host: string, request: object, expected: object]>([
    ['shop.test', {}, { outcome: 'up', remoteIp: '127.0.0.1' }],
    ['SHOP.test', {}, { outcome: 'up' }],
    ['shop.test.', {}, { outcome: 'up' }],
    ['two.test', { ipFamily: '4' }, { outcome: 'up', remoteIp: '127.0.0.1' }],
    ['half.test', {}, { outcome: 'up' }],
    ['shop.test', { ipFamily: '6' }, { outcome: 'down', failure: { code: 'dns.nxdomain' } }],
    ['gone.test', {}, { outcome: 'down', failure: { code: 'dns.nxdomain', source: 'resolver' } }],
    ['broken.test', {}, { outcome: 'down', failure: { code: 'dns.servfail' } }],
    ['refused.test', {}, { outcome: 'down', failure: { code: 'dns.servfail' } }],
    ['silent.test', {}, { outcome: 'down', failure: { code: 'dns.timeout' } }],
    ['private.test', {}, { outcome: 'skipped', failure: { code: 'policy.blocked' } }],
    ['mapped.test', {}, { outcome: 'skipped', failure: { code: 'policy.blocked' } }],
    ['mixed.test', {}, { outcome: 'up', remoteIp: '127.0.0.1' }],
    ['refusing-first.test', {}, { outcome: 'up', remoteIp: '127.0.0.1' }],
  ])('%s %j', async (host, request, expected) => {
    const seen = await checkOnce(checker, `http://${host}:${site.port}/`, { request, timeoutMs: 400 });
    const { failure, ...rest } = expected as { failure?: object };
    expect(seen).toMatchObject(rest);
    if (failure) expect(seen.failure).toMatchObject(failure);
    expect(seen.timings.dns).toBeGreaterThan(0);
    expect(seen.timings.total).toBeLessThan(700_000);
  });

  test('is asked for once a check, and the answer vetted is the one that is dialled', async () => {
    flips = 0;
    const before = site.connections();
    const outcomes: string[] = [];
    for (let round = 0; round < 6; round += 1) {
      const seen = await checkOnce(checker, `http://rebinding.test:${site.port}/`);
      outcomes.push(seen.failure?.code ?? 'up');
    }
    expect(outcomes).toEqual(['up', 'policy.blocked', 'up', 'policy.blocked', 'up', 'policy.blocked']);
    expect(site.connections() - before).toBe(3);
  });

  test('nothing is remembered between checks', async () => {
    const before = dns.asked.filter((question) => question === 'A shop.test').length;
    for (let round = 0; round < 3; round += 1) await checkOnce(checker, `http://shop.test:${site.port}/`);
    expect(dns.asked.filter((question) => question === 'A shop.test').length - before).toBe(3);
  });

  test.each(['localhost', 'LOCALHOST.', 'a.localhost'])(
    '%s is this machine, whatever a server says',
    async (host) => {
      const before = dns.asked.length;
      const seen = await checkOnce(checker, `http://${host}:${site.port}/`);
      expect(seen).toMatchObject({ outcome: 'up', timings: { dns: null } });
      expect(dns.asked.length).toBe(before);
    },
  );

  test('a hundred silent names make no other wait', async () => {
    const silent = Array.from({ length: 100 }, () =>
      checkOnce(checker, `http://silent.test:${site.port}/`, { timeoutMs: 1500 }),
    );
    const seen = await checkOnce(checker, `http://shop.test:${site.port}/`);
    expect(seen.outcome).toBe('up');
    expect(seen.timings.dns).toBeLessThan(500_000);
    for (const each of await Promise.all(silent)) expect(each.failure?.code).toBe('dns.timeout');
  });
});

describe('the files of this machine', () => {
  test('hosts', () => {
    const text =
      '127.0.0.1 localhost # us\n# 1.2.3.4 no\n10.0.0.5\tDb.internal. db\n::1 db\nfe80::1%lo0 zone\nnonsense x\n';
    expect(Object.fromEntries(parseHosts(text))).toEqual({
      localhost: ['127.0.0.1'],
      'db.internal': ['10.0.0.5'],
      db: ['10.0.0.5', '::1'],
    });
  });

  test.each<[string, string, string[]]>([
    ['search a.test b.test\noptions ndots:5', 'db.ns', ['db.ns.a.test', 'db.ns.b.test', 'db.ns']],
    ['search a.test', 'db', ['db.a.test', 'db']],
    ['search a.test', 'db.x', ['db.x', 'db.x.a.test']],
    ['search a.test', 'db.', ['db']],
    ['domain old.test\nsearch a.test # last', 'db', ['db.a.test', 'db']],
    ['nameserver 1.1.1.1', 'db', ['db']],
    ['', 'db.x', ['db.x']],
  ])('resolv.conf %j asks for %s as %j', (text, name, expected) => {
    expect(searchNames(name, parseSearchList(text))).toEqual(expected);
  });

  test('are used', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'parallax-names-'));
    const [hostsFile, resolvConf] = [join(folder, 'hosts'), join(folder, 'resolv.conf')];
    await writeFile(hostsFile, '10.9.8.7 db.internal db\nfd00::5 db\n');
    await writeFile(resolvConf, 'search search.test\n');
    const resolver = await createNameResolver({ server: dns.address, hostsFile, resolvConf });
    const timings = { dns: null, connect: null, tls: null, wait: null, transfer: null };
    const pause = () => () => undefined;
    const trace = newTrace();
    const attempt = { interrupt: null, ended: null, beganMs: 0, timeoutMs: 1000, timings, trace, pause };
    const found = (host: string, family: IpFamily = 'any') => resolver.resolve(host, family, attempt);
    expect(await found('db')).toEqual(['10.9.8.7', 'fd00::5']);
    expect(await found('DB', '6')).toEqual(['fd00::5']);
    expect(await found('db.internal', '6')).toMatchObject({ code: 'dns.nxdomain' });
    expect(await found('short')).toEqual(['127.0.0.1']);
    expect(await found('[::1]')).toEqual(['::1']);
    expect(await found('two.test')).toEqual(['127.0.0.1']);
    expect(await found('six.test')).toEqual(['::1']);
    resolver.close();
    await rm(folder, { recursive: true });
  });
});
