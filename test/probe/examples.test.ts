import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parse, stringify } from 'yaml';
import { freePort } from '../../hub/process/port.ts';
import type { Checker } from '../../probe/checks/check.ts';
import { createTargetPolicy } from '../../probe/policy/target-policy.ts';
import { parseEndpointFile } from '../../shared/endpoint-document.ts';
import { parseNetworkRule } from '../../shared/network-rule.ts';
import type { Observation } from '../../shared/result.ts';
import { type RealServer, realServer, serverCommand, serverMissing } from '../harness/real-server.ts';
import { checkOnce, startChecker } from './checks/scene.ts';
import { dovecotPorts, starttlsServers } from './checks/starttls-servers.ts';
import {
  type LineServer,
  makePki,
  type Pki,
  type Script,
  startHealth,
  startLineServer,
  startUnbound,
  startWeb,
  type Web,
} from './example-servers.ts';

const folder = join(import.meta.dirname, '../../deploy/examples');
const env = { MY_CA: pem('CERTIFICATE'), ORDER: 'one of each' };

function pem(label: string): string {
  return `-----BEGIN ${label}-----\nAA==\n-----END ${label}-----\n`;
}

/** What an example's file says beside its name and URL. */
interface Example {
  readonly request?: Record<string, unknown>;
  readonly expect?: Record<string, unknown>;
}

async function exampleOf(name: string): Promise<Example> {
  const read = parseEndpointFile(await readFile(join(folder, `${name}.yaml`), 'utf8'), name, env);
  if ('problems' in read) throw new Error(JSON.stringify(read.problems));
  const [first] = read.endpoints;
  if (first === undefined) throw new Error(`${name}.yaml holds no endpoint`);
  return first.document as Example;
}

test('every example is a good file with one endpoint of its own name', async () => {
  const files = (await readdir(folder)).filter((file) => file.endsWith('.yaml'));
  expect(files.length).toBeGreaterThan(25);
  for (const file of files) {
    const read = parseEndpointFile(await readFile(join(folder, file), 'utf8'), file, env);
    expect('problems' in read ? read.problems : []).toEqual([]);
    const names = 'endpoints' in read ? read.endpoints.map(({ document }) => document.name) : [];
    expect(names).toEqual([file.replace('.yaml', '')]);
  }
});

const blackbox = serverCommand('prometheus-blackbox-exporter', 'prometheus-blackbox-exporter');
const nginx = serverCommand('nginx', 'nginx');
const ownModules = '/etc/prometheus/blackbox.yml';
const moreModules = '/usr/share/doc/prometheus-blackbox-exporter/examples/example.yml';
const ready =
  blackbox !== null &&
  nginx !== null &&
  (existsSync(moreModules) ||
    serverMissing(
      "blackbox_exporter's example.yml",
      'prometheus-blackbox-exporter -o Dpkg::Options::=--path-include=/usr/share/doc/*',
    ) !== null);

const dovecot = starttlsServers.dovecot();
const postfix = starttlsServers.postfix();
const unbound = serverCommand('unbound', 'unbound');
const ping = serverCommand('ping', 'iputils-ping');
const python = '/usr/bin/python3';
const hasGrpc = canImport('grpc') || serverMissing('gRPC server', 'python3-grpcio') !== null;
/** For names that no other line says anything of: nothing is asked of anybody. */
const refuses = 'local-zone: "." refuse';

function canImport(module: string): boolean {
  try {
    execFileSync(python, ['-c', `import ${module}`], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

type Modules = Record<string, Record<string, Record<string, unknown>>>;
/** Its modules by its own files; what names a file or an address of another machine is put here. */
async function modulesFor(pki: Pki, proxyPort: number): Promise<Modules> {
  const read = async (file: string) => (parse(await readFile(file, 'utf8')) as { modules: Modules }).modules;
  const modules = { ...(await read(ownModules)), ...(await read(moreModules)) };
  const inModule = (name: string, part: string, fields: object) => {
    modules[name] = { ...modules[name], [part]: { ...modules[name]?.[part], ...fields } };
  };
  inModule('http_with_proxy', 'http', { proxy_url: `http://127.0.0.1:${proxyPort}` });
  inModule('http_custom_ca_example', 'http', { tls_config: { ca_file: join(pki.folder, 'ca.pem') } });
  const tls = { ca_file: join(pki.folder, 'ca.pem') };
  const pair = { cert_file: join(pki.folder, 'client.pem'), key_file: join(pki.folder, 'client-key.pem') };
  return {
    ...modules,
    // Of versions later than 0.23, as far as it can be said there.
    http_client_certificate: { prober: 'http', http: { tls_config: { ...tls, ...pair } } } as never,
    ssh_banner_extract: {
      prober: 'tcp',
      tcp: { query_response: [{ expect: '^SSH-2.0-([^ -]+)(?: (.*))?$' }] },
    } as never,
    rabbitmq: {
      prober: 'tcp',
      tcp: {
        query_response: [...['HELO\r', '\r', '\r', '\r'].map((send) => ({ send })), { expect: 'AMQP' }],
        tls: true,
        tls_config: tls,
      },
    } as never,
    // As it is meant (see pop3s_banner.yaml).
    pop3s_banner_meant: {
      prober: 'tcp',
      tcp: { query_response: [{ expect: '^[+]OK' }], tls: true },
    } as never,
  };
}

const waitMs = 1500;

describe.skipIf(!ready)('the same verdict as blackbox_exporter, of the same servers in the same run', () => {
  let checker: Checker;
  let pki: Pki;
  let web: Web;
  let peer: RealServer;
  const lines: LineServer[] = [];

  beforeAll(async () => {
    pki = await makePki();
    web = await startWeb(nginx ?? '', pki);
    const config = join(pki.folder, 'blackbox.yml');
    await writeFile(config, stringify({ modules: await modulesFor(pki, web.proxy) }));
    const port = await freePort();
    peer = await realServer({
      command: blackbox ?? '',
      args: [`--config.file=${config}`, `--web.listen-address=127.0.0.1:${port}`],
      port,
      // What Go trusts beside what a module names.
      env: { SSL_CERT_FILE: join(pki.folder, 'ca.pem') },
    });
    checker = await startChecker({
      policy: createTargetPolicy({
        allowNetworks: ['127.0.0.0/8', '203.0.113.0/24'].map(parseNetworkRule),
        allowProxy: true,
        hubOrigins: [],
      }),
      env: {
        LOGIN_PASSWORD: 'mysecret',
        MY_CA: pki.ca,
        MY_CERT: pki.client.cert,
        MY_KEY: pki.client.key,
      },
    });
  });
  afterAll(async () => {
    await peer?.stop();
    await web?.server.stop();
    await checker?.close();
    await Promise.all(lines.map((each) => each.stop()));
    await pki?.remove();
  });

  async function blackboxSays(module: string, target: string): Promise<boolean> {
    const query = new URLSearchParams({ module, target });
    const answer = await fetch(`http://127.0.0.1:${peer.port}/probe?${query}`, {
      // It takes half a second off for itself.
      headers: { 'X-Prometheus-Scrape-Timeout-Seconds': `${waitMs / 1000 + 0.5}` },
    });
    const text = await answer.text();
    const success = /^probe_success (\d)$/m.exec(text)?.[1];
    if (success === undefined) throw new Error(`${module}: ${answer.status} ${text}`);
    return success === '1';
  }

  /** The example's file at another place, and with the test's authority where it speaks TLS. */
  async function weSay(name: string, url: string, trust = pki.ca): Promise<Observation> {
    const { request = {}, expect: expected = {} } = await exampleOf(name);
    const secure =
      request.tls !== undefined ||
      /^(https|wss|grpcs|tls):/.test(url) ||
      request.secure === true ||
      hasUpgrade(request);
    const tls = { ...(request.tls as object | undefined), ca: trust };
    const proxy = request.proxy === undefined ? {} : { proxy: `http://127.0.0.1:${web.proxy}` };
    return checkOnce(checker, url, {
      request: { ...request, ...proxy, ...(secure ? { tls } : {}) },
      expect: expected,
      timeoutMs: waitMs,
    });
  }

  const hasUpgrade = ({ steps = [] }: Record<string, unknown>) =>
    (steps as { starttls?: boolean }[]).some((step) => step.starttls === true);

  /** Modules that differ in nothing from one that has a file. */
  const twins: Readonly<Record<string, readonly string[]>> = {
    tcp_connect: ['tcp_connect_example'],
    irc_banner: ['irc_banner_example'],
    icmp: ['icmp_example'],
    pop3s_banner_meant: ['pop3s_banner'],
  };
  const compared = new Map<string, Set<boolean>>();

  async function bothSay(
    name: string,
    url: string,
    good: boolean,
    { module = name, target = url }: { module?: string; target?: string } = {},
  ): Promise<void> {
    const modules = [module, ...(module === 'pop3s_banner_meant' ? [] : (twins[module] ?? []))];
    const [ours, ...theirs] = await Promise.all([
      weSay(name, url),
      ...modules.map((each) => blackboxSays(each, target)),
    ]);
    const isUp = ours.outcome === 'up' || ours.outcome === 'degraded';
    expect({ blackbox: theirs, parallax: isUp }, JSON.stringify(ours)).toEqual({
      blackbox: modules.map(() => good),
      parallax: good,
    });
    expect(ours.outcome, JSON.stringify(ours)).not.toBe('skipped');
    for (const each of [module, ...(twins[module] ?? [])])
      compared.set(each, (compared.get(each) ?? new Set()).add(good));
  }

  type WebPlace = 'http' | 'https' | 'vhosts' | 'stranger' | 'mutual';
  test.each<[example: string, place: WebPlace, path: string, good: boolean]>([
    ['http_2xx', 'http', '/', true],
    ['http_2xx', 'https', '/', true],
    ['http_2xx', 'http', '/moved', true],
    ['http_2xx', 'http', '/astray', false],
    ['http_2xx', 'http', '/loop', false],
    ['http_2xx', 'http', '/broken', false],
    ['http_2xx', 'http', '/gone', false],
    ['http_2xx', 'stranger', '/', false],
    ['http_2xx', 'vhosts', '/', false],
    ['http_2xx', 'mutual', '/', false],
    ['http_post_2xx', 'http', '/orders', true],
    ['http_post_2xx', 'https', '/orders', true],
    ['http_post_2xx', 'http', '/page', false],
    ['http_2xx_example', 'http', '/', true],
    ['http_2xx_example', 'vhosts', '/', true],
    ['http_2xx_example', 'https', '/', false],
    ['http_2xx_example', 'http', '/no-cors', false],
    ['http_2xx_example', 'http', '/other-cors', false],
    ['http_2xx_example', 'http', '/cookie', false],
    ['http_2xx_example', 'http', '/database', false],
    ['http_2xx_example', 'http', '/other', false],
    ['http_2xx_example', 'http', '/nothing', false],
    ['http_basic_auth_example', 'http', '/login', true],
    ['http_basic_auth_example', 'vhosts', '/login', true],
    ['http_basic_auth_example', 'https', '/login', false],
    ['http_custom_ca_example', 'https', '/', true],
    ['http_custom_ca_example', 'stranger', '/', false],
    ['http_custom_ca_example', 'https', '/broken', false],
    ['http_client_certificate', 'mutual', '/', true],
    ['http_client_certificate', 'mutual', '/broken', false],
    ['http_client_certificate', 'stranger', '/', false],
    ['http_gzip', 'http', '/zipped', true],
    ['http_gzip', 'http', '/', false],
    ['http_gzip', 'http', '/lie', false],
    ['http_gzip_with_accept_encoding', 'http', '/page', true],
    ['http_gzip_with_accept_encoding', 'https', '/page', true],
    ['http_gzip_with_accept_encoding', 'http', '/', false],
    ['http_gzip_with_accept_encoding', 'http', '/lie', false],
    ['http_with_proxy', 'http', '/', true],
    ['http_with_proxy', 'http', '/broken', false],
  ])('%s, %s%s: %s', async (example, place, path, good) => {
    const scheme = place === 'http' ? 'http' : 'https';
    await bothSay(example, `${scheme}://127.0.0.1:${web[place]}${path}`, good);
  });

  test('http examples, where nothing listens', async () => {
    const port = await freePort();
    for (const example of [
      'http_2xx',
      'http_post_2xx',
      'http_gzip',
      'http_with_proxy',
      'http_custom_ca_example',
    ])
      await bothSay(example, `http://127.0.0.1:${port}/`, false);
  });

  const mail = (upgrades: boolean, auth: boolean): Script => ({
    greeting: '220 mail.example ESMTP Postfix\r\n',
    upgrade: upgrades ? /^STARTTLS$/ : /^never$/,
    answers: (line) =>
      /^EHLO/.test(line)
        ? `250-mail.example\r\n${upgrades ? '250-STARTTLS\r\n' : ''}${auth ? '250-AUTH PLAIN\r\n' : ''}250 SIZE 1000\r\n`
        : line === 'STARTTLS'
          ? upgrades
            ? '220 go ahead\r\n'
            : '502 no\r\n'
          : line === 'QUIT'
            ? '221 bye\r\n'
            : null,
  });
  const imap = (greeting: string, agrees = true): Script => ({
    greeting,
    upgrade: agrees ? /STARTTLS/ : /^never$/,
    answers: (line) =>
      /STARTTLS/.test(line)
        ? agrees
          ? '. OK begin TLS\r\n'
          : '. BAD no\r\n'
        : /capability/.test(line)
          ? '* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\n. OK done\r\n'
          : null,
  });
  const irc = (welcomes: boolean): Script => ({
    answers: (line) =>
      /^USER/.test(line)
        ? ':irc.example NOTICE * :looking up your hostname\r\nPING :tok3n\r\n'
        : line === 'PONG tok3n' && welcomes
          ? ':irc.example 001 prober :Welcome\r\n'
          : null,
  });
  const rabbit: Script = {
    secure: true,
    answers: (line) => (line === 'HELO' ? 'AMQP\0\0\x09\x01\n' : null),
  };
  const capabilities = '* OK [CAPABILITY IMAP4rev1 STARTTLS] ready\r\n';

  test.each<[example: string, what: string, script: Script, good: boolean]>([
    ['tcp_connect', 'mute', {}, true],
    ['tls_connect', 'with TLS', { secure: true }, true],
    ['tls_connect', 'with a certificate of a stranger', { secure: true, stranger: true }, false],
    ['tls_connect', 'without TLS', { greeting: 'hello\r\n' }, false],
    ['tls_connect', 'mute', {}, false],
    ['imap_starttls', 'right', imap(capabilities), true],
    ['imap_starttls', 'without STARTTLS', imap('* OK ready\r\n'), false],
    ['imap_starttls', 'refusing', imap(capabilities, false), false],
    ['imap_starttls', 'with a certificate of a stranger', { ...imap(capabilities), stranger: true }, false],
    ['smtp_starttls', 'right', mail(true, true), true],
    ['smtp_starttls', 'without AUTH', mail(true, false), false],
    ['smtp_starttls', 'without STARTTLS', mail(false, true), false],
    ['smtp_starttls', 'with a certificate of a stranger', { ...mail(true, true), stranger: true }, false],
    ['smtp_starttls', 'busy', { greeting: '421 too many\r\n' }, false],
    ['ssh_banner', 'right', { greeting: 'SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n' }, true],
    ['ssh_banner', 'with a word before', { greeting: 'welcome\r\nSSH-2.0-OpenSSH_9.2p1\r\n' }, true],
    ['ssh_banner', 'of another age', { greeting: 'SSH-1.5-1.2.27\n' }, false],
    ['ssh_banner', 'mute', {}, false],
    ['ssh_banner_extract', 'right', { greeting: 'SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n' }, true],
    ['ssh_banner_extract', 'without comments', { greeting: 'SSH-2.0-dropbear_2022.83\r\n' }, true],
    ['ssh_banner_extract', 'of another age', { greeting: 'SSH-1.5-1.2.27\n' }, false],
    ['irc_banner', 'right', irc(true), true],
    ['irc_banner', 'unwelcoming', irc(false), false],
    ['irc_banner', 'mute', {}, false],
    ['rabbitmq', 'right', rabbit, true],
    ['rabbitmq', 'without TLS', { ...rabbit, secure: false }, false],
    ['rabbitmq', 'other', { secure: true, answers: () => 'HTTP/1.1 400 Bad Request\r\n' }, false],
  ])('%s of a server that is %s: %s', async (example, _what, script, good) => {
    const server = await startLineServer(script, pki);
    lines.push(server);
    const scheme = example === 'tls_connect' ? 'tls' : 'tcp';
    await bothSay(example, `${scheme}://127.0.0.1:${server.port}`, good, {
      target: `127.0.0.1:${server.port}`,
    });
  });

  test.each([
    ['+OK Dovecot ready.\r\n', true],
    ['-ERR go away\r\n', false],
  ])('pop3s_banner of %j: %s', async (greeting, good) => {
    const server = await startLineServer({ secure: true, greeting }, pki);
    lines.push(server);
    const place = `127.0.0.1:${server.port}`;
    await bothSay('pop3s_banner', `tcp://${place}`, good, { module: 'pop3s_banner_meant', target: place });
    // As it is written: never.
    expect(await blackboxSays('pop3s_banner', place)).toBe(false);
  });

  test('tcp examples, where nothing listens', async () => {
    const place = `127.0.0.1:${await freePort()}`;
    for (const example of ['tcp_connect', 'ssh_banner', 'irc_banner', 'smtp_starttls', 'imap_starttls'])
      await bothSay(example, `tcp://${place}`, false, { target: place });
    await bothSay('tls_connect', `tls://${place}`, false, { target: place });
  });

  test.skipIf(!dovecot)('imap_starttls of dovecot, and of its port that begins with TLS', async () => {
    const own = await pki.copy();
    const server = await dovecot?.(own);
    const { imaps } = dovecotPorts(await readFile(join(own, 'dovecot.conf'), 'utf8'));
    try {
      for (const [port, good] of [
        [server?.port ?? 0, true],
        [imaps, false],
      ] as const) {
        const target = `127.0.0.1:${port}`;
        await bothSay('imap_starttls', `tcp://${target}`, good, { target });
        await bothSay('tcp_connect', `tcp://${target}`, true, { target });
        await bothSay('tls_connect', `tls://${target}`, !good, { target });
      }
    } finally {
      await server?.stop();
    }
  });

  test.skipIf(!postfix)('smtp_starttls of postfix, which knows nobody and so offers no AUTH', async () => {
    const server = await postfix?.(await pki.copy());
    const target = `127.0.0.1:${server?.port ?? 0}`;
    try {
      await bothSay('smtp_starttls', `tcp://${target}`, false, { target });
      await bothSay('tcp_connect', `tcp://${target}`, true, { target });
    } finally {
      await server?.stop();
    }
  });

  describe.skipIf(!hasGrpc)('gRPC', () => {
    const servers: Awaited<ReturnType<typeof startHealth>>[] = [];
    afterAll(() => Promise.all(servers.map((server) => server.stop())));

    test.each<[what: string, services: Record<string, number>, whole: boolean, one: boolean]>([
      ['well', { service1: 1 }, true, true],
      ['well, without that service', {}, true, false],
      ['well, its service ill', { service1: 2 }, true, false],
      ['ill, its service well', { '': 2, service1: 1 }, false, true],
      ['in a state that nobody knows', { '': 9, service1: 0 }, false, false],
    ])('grpc and grpc_plain of a server that is %s', async (_what, services, whole, one) => {
      const server = await startHealth(python, pki, services);
      servers.push(server);
      const secure = `127.0.0.1:${server.tlsPort}`;
      const plain = `127.0.0.1:${server.port}`;
      await bothSay('grpc', `grpcs://${secure}`, whole, { target: secure });
      await bothSay('grpc_plain', `grpc://${plain}/service1`, one, { target: plain });
      // The one where the other is.
      await bothSay('grpc', `grpcs://${plain}`, false, { target: plain });
      await bothSay('grpc_plain', `grpc://${secure}/service1`, false, { target: secure });
    });

    test('a certificate of a stranger, a web server, a mute one and nothing at all', async () => {
      const stranger = await startHealth(python, pki, {}, ['stranger.pem', 'stranger-key.pem']);
      servers.push(stranger);
      const mute = await startLineServer({}, pki);
      lines.push(mute);
      const ports = [stranger.tlsPort, web.https, web.http, mute.port, await freePort()];
      await Promise.all(
        ports.flatMap((port) => {
          const target = `127.0.0.1:${port}`;
          return [
            bothSay('grpc', `grpcs://${target}`, false, { target }),
            bothSay('grpc_plain', `grpc://${target}/service1`, false, { target }),
          ];
        }),
      );
    });
  });

  describe.skipIf(!unbound)('DNS', () => {
    const servers: RealServer[] = [];
    afterAll(() => Promise.all(servers.map((server) => server.stop())));
    const name = 'www.prometheus.io';

    test.each<[what: string, lines: string[], udp: boolean, tcp: boolean, soa: boolean]>([
      [
        'knows the names',
        [
          'local-zone: "prometheus.io." static',
          `local-data: "${name}. 300 IN A 127.0.0.1"`,
          'local-data: "prometheus.io. 300 IN SOA ns.prometheus.io. root.prometheus.io. 1 2 3 4 5"',
        ],
        false,
        true,
        true,
      ],
      [
        'knows another address',
        ['local-zone: "prometheus.io." transparent', `local-data: "${name}. 300 IN A 192.0.2.1"`, refuses],
        false,
        true,
        false,
      ],
      ['knows that there are none', ['local-zone: "prometheus.io." always_nxdomain'], false, false, false],
      ['has nothing to say of them', ['local-zone: "prometheus.io." always_nodata'], false, true, true],
      ['refuses', ['local-zone: "prometheus.io." refuse'], false, false, false],
      ['is silent', ['local-zone: "prometheus.io." deny'], false, false, false],
    ])('a server that %s', async (_what, config, udp, tcp, soa) => {
      const server = await startUnbound(unbound ?? '', pki.folder, config);
      servers.push(server);
      const place = `127.0.0.1:${server.port}`;
      await bothSay('dns_udp_example', `dns://${place}/${name}?type=A`, udp, { target: place });
      await bothSay('dns_tcp_example', `dns://${place}/${name}?type=A`, tcp, { target: place });
      await bothSay('dns_soa', `dns://${place}/prometheus.io?type=SOA`, soa, { target: place });
    });

    test('nothing where a server should be', async () => {
      const place = `127.0.0.1:${await freePort()}`;
      await bothSay('dns_udp_example', `dns://${place}/${name}?type=A`, false, { target: place });
      await bothSay('dns_tcp_example', `dns://${place}/${name}?type=A`, false, { target: place });
      await bothSay('dns_soa', `dns://${place}/prometheus.io?type=SOA`, false, { target: place });
    });
  });

  describe.skipIf(!ping)('ICMP', () => {
    test.each<[target: string, good: boolean]>([
      ['127.0.0.1', true],
      // No way leads there from here, or nobody is there.
      ['203.0.113.77', false],
    ])('%s: %s', async (target, good) => {
      await bothSay('icmp', `ping://${target}`, good, { target });
      await bothSay('icmp', `ping://${target}`, good, { target, module: 'icmp_ttl5' });
      await bothSay('icmp_ttl5', `ping://${target}`, good, { target });
    });
  });

  // What Debian's version cannot do yet, or has nothing for: ours alone.
  test.each<[example: string, url: (web: Web) => string, outcome: 'up' | 'down']>([
    ['http_any_response_example', ({ http }) => `http://127.0.0.1:${http}/broken`, 'up'],
    ['http_any_response_example', ({ http }) => `http://127.0.0.1:${http}/`, 'up'],
    ['http_any_response_example', ({ https }) => `http://127.0.0.1:${https}/`, 'up'],
    ['http_any_response_example', ({ stranger }) => `https://127.0.0.1:${stranger}/`, 'down'],
    ['http_json_cel_match', ({ http }) => `http://127.0.0.1:${http}/status`, 'up'],
    ['http_json_cel_match', ({ http }) => `http://127.0.0.1:${http}/ill`, 'down'],
    ['http_json_cel_match', ({ http }) => `http://127.0.0.1:${http}/`, 'down'],
    ['http_post_body_file', ({ https }) => `https://127.0.0.1:${https}/orders`, 'up'],
    ['http_with_proxy_and_headers', ({ http }) => `http://127.0.0.1:${http}/`, 'up'],
  ])('%s %s is %s', async (example, url, outcome) => {
    const seen = await weSay(example, url(web));
    expect(seen.outcome, JSON.stringify(seen)).toBe(outcome);
  });

  test("each of blackbox_exporter's modules was compared, on what is good and on what is broken", async () => {
    const known = Object.keys(await modulesFor(pki, web.proxy));
    // Its patterns contradict each other: nothing is ever good.
    const onlyBroken = ['dns_udp_example'];
    const missing = known.filter((name) => {
      const seen = compared.get(name);
      return !(seen?.has(false) && (seen.has(true) || onlyBroken.includes(name)));
    });
    const without = [
      ...(hasGrpc ? [] : ['grpc', 'grpc_plain']),
      ...(unbound ? [] : ['dns_udp_example', 'dns_soa', 'dns_tcp_example']),
      ...(ping ? [] : ['icmp', 'icmp_ttl5', 'icmp_example']),
    ];
    expect(missing.filter((name) => !without.includes(name))).toEqual([]);
  });
});
