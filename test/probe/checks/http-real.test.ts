// biome-ignore-all lint/suspicious/noTemplateCurlyInString: nginx has variables of its own
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { freePort } from '../../../hub/process/port.ts';
import type { Checker } from '../../../probe/checks/check.ts';
import { createTargetPolicy } from '../../../probe/policy/target-policy.ts';
import { parseNetworkRule } from '../../../shared/network-rule.ts';
import type { Observation } from '../../../shared/result.ts';
import { type RealServer, realServer, serverCommand } from '../../harness/real-server.ts';
import { type Issued, issue } from './certificates.ts';
import { checkOnce, startChecker, type Wish } from './scene.ts';

const nginx = serverCommand('nginx', 'nginx');
const openssl = serverCommand('openssl', 'openssl');
const microsocks = serverCommand('microsocks', 'microsocks');
const tinyproxy = serverCommand('tinyproxy', 'tinyproxy');

const told = ({ outcome, failure }: Observation) => `${outcome} ${failure?.code ?? ''}`.trim();

let checker: Checker;
let folder: string;
let ca: string;
let client: Issued;
let stranger: Issued;
let expired: Issued;

beforeAll(async () => {
  const policy = createTargetPolicy({
    allowNetworks: ['127.0.0.0/8', '::1'].map(parseNetworkRule),
    allowProxy: true,
    hubOrigins: [],
  });
  checker = await startChecker({ policy });
  folder = await mkdtemp(join(tmpdir(), 'parallax-http-'));
  // Their workers are another user's, where root starts them.
  await chmod(folder, 0o755);
  const authority = await issue({ name: 'Test authority', ca: true });
  const other = await issue({ name: 'Another authority', ca: true });
  const pair = await issue({ dns: ['localhost'], ips: ['127.0.0.1'] }, authority);
  client = await issue({ name: 'a client' }, authority);
  stranger = await issue({ name: 'a stranger' }, other);
  expired = await issue({ name: 'an old client', fromDays: -30, toDays: -2 }, authority);
  ca = authority.cert;
  await writeFile(join(folder, 'ca.pem'), ca);
  await writeFile(join(folder, 'cert.pem'), pair.cert);
  await writeFile(join(folder, 'key.pem'), pair.key);
});
afterAll(async () => {
  await checker.close();
  await rm(folder, { recursive: true, force: true });
});

function check(url: string, { request, ...wish }: Wish = {}): Promise<Observation> {
  const { tls, ...asked } = (request ?? {}) as { tls?: object };
  return checkOnce(checker, url, { ...wish, request: { ...asked, tls: { ca, ...tls } } });
}

const site = (ports: Readonly<Record<string, number>>) => `
  daemon off; worker_processes 1; pid nginx.pid; error_log stderr warn;
  events { worker_connections 128; }
  http {
    access_log off; default_type text/plain; etag off;
    client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi; scgi_temp_path scgi;
    gzip on; gzip_min_length 1; gzip_types text/plain application/json;
    ssl_certificate cert.pem; ssl_certificate_key key.pem;
    server { listen 127.0.0.1:${ports.plain};
      location / { return 200 "served over $server_protocol\\n"; }
      location /json { default_type application/json; return 200 '{"status":"ok","queue":[3,7.5]}'; }
      location /head { add_header X-Shop open; return 200 "hi"; }
      location /secure { return 301 https://localhost:${ports.both}/there; }
      location /old { return 302 /new; }
      location /teapot { return 418 "short and stout"; } }
    server { listen 127.0.0.1:${ports.both} ssl http2;
      location / { return 200 "served over $server_protocol\\n"; }
      location /old { return 302 /new; }
      location /json { default_type application/json; return 200 '{"status":"ok"}'; }
      location /teapot { return 418 "short and stout"; } }
    server { listen 127.0.0.1:${ports.old} ssl; location / { return 200 "old"; } }
    server { listen 127.0.0.1:${ports.mutual12} ssl http2; ssl_protocols TLSv1.2;
      ssl_client_certificate ca.pem; ssl_verify_client on;
      location / { return 200 "hello $ssl_client_s_dn\\n"; } }
    server { listen 127.0.0.1:${ports.mutual13} ssl http2; ssl_protocols TLSv1.3;
      ssl_client_certificate ca.pem; ssl_verify_client on;
      location / { return 200 "hello $ssl_client_s_dn\\n"; } }
  }`;

describe.skipIf(!nginx)('nginx', () => {
  let server: RealServer;
  const ports = { plain: 0, both: 0, old: 0, mutual12: 0, mutual13: 0 };
  beforeAll(async () => {
    for (const name of Object.keys(ports) as (keyof typeof ports)[]) ports[name] = await freePort();
    const file = join(folder, 'nginx.conf');
    await writeFile(file, site(ports));
    const args = ['-p', folder, '-c', file, '-e', 'stderr'];
    server = await realServer({ command: nginx ?? '', args, port: ports.plain });
  });
  afterAll(() => server?.stop());

  const body = (...matches: string[]) => ({ expect: { body: { matches } } });
  const at = (place: keyof typeof ports, path = '/') =>
    `${place === 'plain' ? 'http' : 'https'}://127.0.0.1:${ports[place]}${path}`;

  test.each<[keyof typeof ports, string, Wish, string, Partial<Observation>]>([
    ['plain', '/', body('over HTTP/1.1'), 'up', { status: 200, httpVersion: '1.1', tls: null }],
    ['plain', '/json', { expect: { json: [{ path: '$.queue[1]', gt: 7, lt: 8 }] } }, 'up', {}],
    ['plain', '/json', { expect: { json: [{ path: '$.status', equals: 'bad' }] } }, 'down expect.json', {}],
    ['plain', '/head', { expect: { headers: [{ name: 'x-shop', matches: '^open$' }] } }, 'up', {}],
    ['plain', '/head', { expect: { headers: [{ name: 'x-none' }] } }, 'down expect.header', {}],
    ['plain', '/head', { request: { method: 'HEAD' } }, 'up', { bytes: 0 }],
    // What was packed on its way is told by a header, as blackbox_exporter's `compression` has it.
    [
      'plain',
      '/',
      {
        request: { compression: 'gzip' },
        expect: { headers: [{ name: 'content-encoding', matches: '^gzip$' }] },
      },
      'up',
      {},
    ],
    [
      'plain',
      '/',
      {
        request: { compression: 'br' },
        expect: { headers: [{ name: 'content-encoding', matches: '^br$' }] },
      },
      'down expect.header',
      {},
    ],
    ['plain', '/teapot', {}, 'down expect.status', { status: 418 }],
    ['plain', '/teapot', { expect: { status: [418] } }, 'up', {}],
    ['plain', '/old', body('served'), 'up', { redirects: 1 }],
    ['plain', '/old', { request: { redirects: 0 }, expect: { status: ['302'] } }, 'up', { redirects: 0 }],
    ['plain', '/secure', { expect: { tls: 'required' } }, 'up', { redirects: 1, httpVersion: '1.1' }],
    ['plain', '/', { expect: { tls: 'required' } }, 'down expect.tls', {}],
    ['plain', '/', { request: { compression: 'gzip' }, ...body('^served over') }, 'up', {}],
    ['both', '/', { request: { httpVersion: '2' }, ...body('over HTTP/2.0') }, 'up', { httpVersion: '2' }],
    ['both', '/', { request: { httpVersion: 'any' }, ...body('over HTTP/2.0') }, 'up', { httpVersion: '2' }],
    ['both', '/', body('over HTTP/1.1'), 'up', { httpVersion: '1.1' }],
    ['both', '/', { request: { httpVersion: '2', compression: 'gzip' }, ...body('^served over') }, 'up', {}],
    ['both', '/', { request: { httpVersion: '2', method: 'HEAD' } }, 'up', { bytes: 0 }],
    ['both', '/old', { request: { httpVersion: '2' } }, 'up', { redirects: 1 }],
    ['both', '/teapot', { request: { httpVersion: '2' } }, 'down expect.status', { status: 418 }],
    [
      'both',
      '/json',
      { request: { httpVersion: '2' }, expect: { json: [{ path: '$.status', equals: 'ok' }] } },
      'up',
      {},
    ],
    ['both', '/', { expect: { tls: 'forbidden' } }, 'down expect.tls', {}],
    ['old', '/', { request: { httpVersion: '2' } }, 'down protocol.refused', {}],
    ['old', '/', { request: { httpVersion: 'any' }, ...body('old') }, 'up', { httpVersion: '1.1' }],
  ])('%s %s %j is %s', async (place, path, wish, expected, seen) => {
    const found = await check(at(place, path), wish);
    expect(told(found), found.failure?.message).toBe(expected);
    expect(found).toMatchObject(seen);
  });

  // nginx finishes every handshake and says 400 over HTTP where it wants another certificate.
  test.each<['mutual12' | 'mutual13', '1.1' | '2']>([
    ['mutual12', '1.1'],
    ['mutual12', '2'],
    ['mutual13', '1.1'],
    ['mutual13', '2'],
  ])('a client certificate at %s over HTTP/%s', async (place, httpVersion) => {
    const shown = (own?: Issued) => ({ httpVersion, tls: own ? { cert: own.cert, key: own.key } : {} });
    const good = await check(at(place), { request: shown(client), ...body('hello CN=a client') });
    expect(told(good), good.failure?.message).toBe('up');
    for (const own of [undefined, stranger, expired]) {
      const refused = await check(at(place), { request: shown(own) });
      expect(refused).toMatchObject({ status: 400, failure: { code: 'expect.status' } });
    }
  });

  test.skipIf(!microsocks)('through microsocks', async () => {
    const port = await freePort();
    const own = await realServer({
      command: microsocks ?? '',
      args: ['-i', '127.0.0.1', '-p', String(port), '-u', 'me', '-P', 'p@ss'],
      port,
    });
    onTestFinished(() => own.stop());
    const proxy = `socks5://me:p%40ss@127.0.0.1:${port}`;
    for (const [place, httpVersion] of [
      ['plain', '1.1'],
      ['both', '1.1'],
      ['both', '2'],
    ] as const) {
      const found = await check(at(place), { request: { proxy, httpVersion }, ...body('served') });
      expect(told(found), found.failure?.message).toBe('up');
      expect(found.httpVersion).toBe(httpVersion);
    }
    const named = at('both').replace('127.0.0.1', 'localhost');
    expect(told(await check(named, { request: { proxy } }))).toBe('up');
    const wrong = await check(at('plain'), { request: { proxy: `socks5://me:no@127.0.0.1:${port}` } });
    expect(wrong.failure).toMatchObject({ code: 'connect.unreachable', source: 'network' });
    const dead = await check(`http://127.0.0.1:${await freePort()}/`, { request: { proxy } });
    expect(told(dead)).toBe('down connect.refused');
    const unknown = await check('http://no-such-name.invalid/', { request: { proxy }, timeoutMs: 5000 });
    expect(unknown.failure).toMatchObject({ code: 'connect.unreachable', source: 'network' });
  });

  test.skipIf(!tinyproxy)('through tinyproxy', async () => {
    const port = await freePort();
    const file = join(folder, 'tinyproxy.conf');
    await writeFile(
      file,
      `Port ${port}\nListen 127.0.0.1\nTimeout 10\nAllow 127.0.0.1\nBasicAuth me secret\nConnectPort ${ports.both}\n`,
    );
    const own = await realServer({ command: tinyproxy ?? '', args: ['-d', '-c', file], port });
    onTestFinished(() => own.stop());
    const proxy = `http://me:secret@127.0.0.1:${port}`;
    for (const [place, httpVersion] of [
      ['plain', '1.1'],
      ['both', '1.1'],
      ['both', '2'],
    ] as const) {
      const found = await check(at(place), { request: { proxy, httpVersion }, ...body('served') });
      expect(told(found), found.failure?.message).toBe('up');
      expect(found.httpVersion).toBe(httpVersion);
    }
    const forbidden = await check(at('old'), { request: { proxy } });
    expect(forbidden.failure).toMatchObject({ code: 'connect.unreachable', source: 'network' });
    const wrong = await check(at('both'), { request: { proxy: `http://me:no@127.0.0.1:${port}` } });
    expect(wrong.failure).toMatchObject({ code: 'connect.unreachable', source: 'network' });
  });
});

/** As Apache, Envoy and most Go and Java servers: whom they do not want they refuse by an alert of TLS. */
describe.skipIf(!openssl)('a server that refuses client certificates by an alert', () => {
  test.each<['tls1_2' | 'tls1_3', Record<'good' | 'none' | 'stranger' | 'expired', string>]>([
    [
      'tls1_2',
      { good: 'up', none: 'down tls.handshake', stranger: 'down tls.client', expired: 'down tls.client' },
    ],
    [
      'tls1_3',
      { good: 'up', none: 'down tls.client', stranger: 'down tls.client', expired: 'down tls.client' },
    ],
  ])('%s', async (version, expected) => {
    const port = await freePort();
    const args = [
      's_server',
      '-accept',
      `127.0.0.1:${port}`,
      '-cert',
      'cert.pem',
      '-key',
      'key.pem',
      '-CAfile',
      'ca.pem',
    ];
    const server = await realServer({
      command: openssl ?? '',
      args: [...args, '-Verify', '1', '-verify_return_error', '-www', `-${version}`],
      port,
      cwd: folder,
    });
    onTestFinished(() => server.stop());
    const url = `https://127.0.0.1:${port}/`;
    const shown = async (own?: Issued) => {
      const seen = await check(url, { request: { tls: own ? { cert: own.cert, key: own.key } : {} } });
      if (seen.failure?.code === 'tls.client') expect(seen.failure.message).toMatch(/client certificate/);
      return told(seen);
    };
    const seen = {
      good: await shown(client),
      none: await shown(),
      stranger: await shown(stranger),
      expired: await shown(expired),
    };
    expect(seen).toEqual(expected);
  });
});
