// biome-ignore-all lint/suspicious/noTemplateCurlyInString: ${probe:NAME} is what endpoints hold
import { connect, type Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import type { Checker } from '../../../probe/checks/check.ts';
import { createTargetPolicy } from '../../../probe/policy/target-policy.ts';
import { parseNetworkRule } from '../../../shared/network-rule.ts';
import { issue } from './certificates.ts';
import { checkOnce, startChecker } from './scene.ts';
import { type Answer, type RawServer, startRawServer, whole } from './servers.ts';

const authority = await issue({ name: 'Test authority', ca: true });
const { cert, key } = await issue({ dns: ['localhost'], ips: ['127.0.0.1'] }, authority);
const serverTls = { cert, key };
let checker: Checker;
let site: RawServer;
let secureSite: RawServer;

const policy = (over: { allowProxy?: boolean; allow?: readonly string[] } = {}) =>
  createTargetPolicy({
    allowNetworks: (over.allow ?? ['127.0.0.0/8', '::1']).map(parseNetworkRule),
    allowProxy: over.allowProxy ?? true,
    hubOrigins: ['https://hub.test:8443'],
  });

const answerOf: Answer = (socket, { path }) =>
  void socket.end(
    path === '/away'
      ? whole('', [`Location: http://127.0.0.1:${site.port}/there`], '302 Found')
      : path === '/to-private'
        ? whole('', ['Location: http://10.0.0.1/'], '302 Found')
        : whole('fine'),
  );

beforeAll(async () => {
  checker = await startChecker({ policy: policy() });
  site = await startRawServer(answerOf);
  secureSite = await startRawServer(answerOf, { tls: serverTls });
});
afterAll(async () => {
  await checker.close();
  await site.close();
  await secureSite.close();
});

/** As a proxy does it: every name leads to this machine; `/x` after an authority is asked for over a new connection. */
const forwards: Answer = (socket, { method, path, headers }) => {
  const authority = method === 'CONNECT' ? path : new URL(path).host;
  const port = Number(authority.split(':').at(-1));
  const onward: Socket = connect(port, '127.0.0.1', () => {
    if (method === 'CONNECT') socket.write('HTTP/1.1 200 Connection established\r\nVia: test\r\n\r\n');
    else {
      const { pathname } = new URL(path);
      onward.write(`${method} ${pathname} HTTP/1.1\r\nHost: ${headers.host}\r\nConnection: close\r\n\r\n`);
    }
    socket.removeAllListeners('data');
    socket.pipe(onward).pipe(socket);
  });
  onward.on('error', () => socket.destroy());
  socket.once('close', () => onward.destroy());
};

async function startProxy(answer: Answer = forwards, tls?: object): Promise<RawServer> {
  const proxy = await startRawServer(answer, tls ? { tls } : {});
  onTestFinished(() => proxy.close());
  return proxy;
}

const trust = { tls: { ca: authority.cert } };
const by = (proxy: RawServer, over: object = {}) => ({
  request: { proxy: `http://127.0.0.1:${proxy.port}`, ...over },
});

describe('through a proxy', () => {
  test('plain HTTP is asked of the proxy itself, by a name that only it knows', async () => {
    const proxy = await startProxy();
    const seen = await checkOnce(
      checker,
      `http://inner.invalid:${site.port}/a?b=c`,
      by(proxy, { bearer: 't' }),
    );
    expect(seen).toMatchObject({ outcome: 'up', status: 200, remoteIp: '127.0.0.1', bytes: 4 });
    expect(proxy.asked).toMatchObject([
      {
        method: 'GET',
        path: `http://inner.invalid:${site.port}/a?b=c`,
        headers: { host: `inner.invalid:${site.port}`, authorization: 'Bearer t' },
      },
    ]);
    expect(proxy.asked[0]?.headers['proxy-authorization']).toBeUndefined();
  });

  test('HTTPS goes through a tunnel: the proxy sees a name and no more', async () => {
    const proxy = await startProxy();
    const request = { ...trust, serverName: 'localhost', bearer: 't' };
    const seen = await checkOnce(checker, `https://inner.invalid:${secureSite.port}/a`, by(proxy, request));
    expect(seen).toMatchObject({ outcome: 'up', status: 200, failure: null });
    expect(seen.tls?.version).toBe('TLSv1.3');
    expect(proxy.asked).toMatchObject([{ method: 'CONNECT', path: `inner.invalid:${secureSite.port}` }]);
    expect(proxy.asked[0]?.headers).toEqual({
      host: `inner.invalid:${secureSite.port}`,
      connection: 'close',
    });
    expect(secureSite.asked.at(-1)?.headers).toMatchObject({ authorization: 'Bearer t' });
    expect(secureSite.asked.at(-1)?.headers['proxy-authorization']).toBeUndefined();
  });

  test('a certificate of the target is verified, tunnel or not', async () => {
    const proxy = await startProxy();
    const seen = await checkOnce(checker, `https://inner.invalid:${secureSite.port}/`, by(proxy));
    expect(seen).toMatchObject({ outcome: 'down', failure: { code: 'tls.untrusted' } });
  });

  test('resolveTo is where the tunnel leads, also for plain HTTP', async () => {
    const proxy = await startProxy();
    const seen = await checkOnce(
      checker,
      `http://inner.invalid:${site.port}/`,
      by(proxy, { resolveTo: '127.0.0.1' }),
    );
    expect(seen).toMatchObject({ outcome: 'up', status: 200 });
    expect(proxy.asked).toMatchObject([{ method: 'CONNECT', path: `127.0.0.1:${site.port}` }]);
    expect(site.asked.at(-1)?.headers.host).toBe(`inner.invalid:${site.port}`);
  });

  test('credentials go to the proxy alone, and may come from the environment of the probe', async () => {
    const proxy = await startProxy();
    const proxyUrl = `http://u%40x:\${probe:SECRET}@127.0.0.1:${proxy.port}`;
    const expected = `Basic ${Buffer.from('u@x:s3cret').toString('base64')}`;
    for (const target of [`http://a.invalid:${site.port}/`, `https://a.invalid:${secureSite.port}/`]) {
      const request = { ...trust, serverName: 'localhost', proxy: proxyUrl };
      expect(await checkOnce(checker, target, { request })).toMatchObject({ outcome: 'up' });
      expect(proxy.asked.at(-1)?.headers['proxy-authorization']).toBe(expected);
    }
    expect(JSON.stringify([site.asked.at(-1), secureSite.asked.at(-1)])).not.toContain('proxy-auth');
  });

  test('redirects go the same way', async () => {
    const proxy = await startProxy();
    const seen = await checkOnce(checker, `http://inner.invalid:${site.port}/away`, by(proxy));
    expect(seen).toMatchObject({ outcome: 'up', redirects: 1 });
    expect(proxy.asked.map(({ path }) => path)).toEqual([
      `http://inner.invalid:${site.port}/away`,
      `http://127.0.0.1:${site.port}/there`,
    ]);
  });

  test('that speaks TLS, whose own certificate is verified', async () => {
    const proxy = await startProxy(forwards, serverTls);
    const proxyUrl = `https://localhost:${proxy.port}`;
    const named = await startChecker({ policy: policy() });
    onTestFinished(() => named.close());
    for (const target of [`http://a.invalid:${site.port}/`, `https://a.invalid:${secureSite.port}/`]) {
      const request = { ...trust, serverName: 'localhost', proxy: proxyUrl };
      expect(await checkOnce(named, target, { request })).toMatchObject({ outcome: 'up', status: 200 });
      const unknown = await checkOnce(named, target, {
        request: { proxy: proxyUrl, tls: { verify: false } },
      });
      expect(unknown.failure).toMatchObject({ code: 'connect.unreachable', source: 'network' });
      expect(unknown.failure?.message).toMatch(/^the proxy: /);
    }
  });
});

describe('a proxy that is no good is not the target', () => {
  const secure = (proxy: RawServer) => ({
    timeoutMs: 400,
    ...by(proxy, { ...trust, serverName: 'localhost' }),
  });
  test.each<[string, Answer, string, RegExp]>([
    [
      'refuses',
      (socket) => void socket.end('HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n'),
      'connect.unreachable',
      /answered 403 to CONNECT/,
    ],
    [
      'wants a password',
      (socket) => void socket.end('HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n'),
      'connect.unreachable',
      /credentials \(407\)/,
    ],
    [
      'informs',
      (socket) => void socket.write('HTTP/1.1 103 Hints\r\n\r\n'),
      'connect.unreachable',
      /answered 103/,
    ],
    ['says nothing', () => undefined, 'connect.timeout', /within 400 ms/],
    ['goes away', (socket) => void socket.destroy(), 'connect.unreachable', /gave no connection/],
    ['is none', (socket) => void socket.end('SSH-2.0-x\r\n'), 'connect.unreachable', /gave no connection/],
    [
      'never ends its head',
      (socket) => {
        const more = () => {
          while (!socket.destroyed && socket.write(`X-A: ${'a'.repeat(900)}\r\n`));
        };
        socket.write('HTTP/1.1 200 OK\r\n');
        socket.on('drain', more);
        more();
      },
      'connect.unreachable',
      /gave no connection|does not end/,
    ],
    [
      'opens, and the target then hangs up',
      (socket) => void socket.end('HTTP/1.1 200 OK\r\n\r\n'),
      'tls.handshake',
      /./,
    ],
  ])('%s', async (_, answer, code, says) => {
    const proxy = await startProxy(answer);
    const seen = await checkOnce(checker, `https://inner.invalid:${secureSite.port}/`, secure(proxy));
    expect(seen.failure?.code).toBe(code);
    expect(seen.failure?.message).toMatch(says);
    expect(seen.timings.total).toBeLessThan(800_000);
  });

  test('is not there', async () => {
    const proxy = await startRawServer(forwards);
    await proxy.close();
    const seen = await checkOnce(checker, `http://inner.invalid:${site.port}/`, by(proxy));
    expect(seen.failure).toMatchObject({ code: 'connect.unreachable', source: 'network' });
  });
});

describe('what the policy says', () => {
  const blocked = async (
    over: Parameters<typeof policy>[0],
    url: string,
    proxyUrl: (port: number) => string,
    request: object = {},
  ) => {
    const proxy = await startProxy();
    const careful = await startChecker({ policy: policy(over) });
    onTestFinished(() => careful.close());
    const seen = await checkOnce(careful, url, { request: { proxy: proxyUrl(proxy.port), ...request } });
    expect(seen).toMatchObject({ outcome: 'skipped', failure: { code: 'policy.blocked' } });
    return { message: seen.failure?.message, connections: proxy.connections() };
  };
  const local = (port: number) => `http://127.0.0.1:${port}`;

  test('no proxy without --allow-proxy', async () => {
    const { message, connections } = await blocked({ allowProxy: false }, 'http://a.invalid/', local);
    expect(message).toMatch(/--allow-proxy/);
    expect(connections).toBe(0);
  });

  test('a private proxy needs its network opened too', async () => {
    const { message, connections } = await blocked({ allow: [] }, 'http://a.invalid/', local);
    expect(message).toMatch(/--allow-network|never checked/);
    expect(connections).toBe(0);
  });

  test.each<[string, object]>([
    ['http://169.254.169.254/', {}],
    ['http://0xa9fea9fe/', {}],
    ['http://[::ffff:10.0.0.1]/', {}],
    ['http://10.0.0.1/', {}],
    ['https://shop.example/', { resolveTo: '10.0.0.1' }],
    ['http://127.0.0.2:9/', {}],
    ['http://localhost:9/', {}],
    ['http://x.localhost.:9/', {}],
    ['https://hub.test:8443/', {}],
    ['https://shop.example:8443/', { headers: { host: 'hub.test' } }],
  ])('an address that is refused is so through a proxy: %s %j', async (url, request) => {
    const proxy = await startProxy();
    const careful = await startChecker({ policy: policy({ allow: [`127.0.0.1/32:${proxy.port}`] }) });
    onTestFinished(() => careful.close());
    const seen = await checkOnce(careful, url, { request: { proxy: local(proxy.port), ...request } });
    expect(seen).toMatchObject({ outcome: 'skipped', failure: { code: 'policy.blocked' } });
    expect(proxy.connections()).toBe(0);
  });

  test('a redirect to a refused address is not asked of the proxy', async () => {
    const proxy = await startProxy();
    const seen = await checkOnce(checker, `http://inner.invalid:${site.port}/to-private`, by(proxy));
    expect(seen).toMatchObject({ outcome: 'skipped', failure: { code: 'policy.blocked' }, redirects: 1 });
    expect(proxy.asked).toHaveLength(1);
  });

  test("the probe's own hub is no proxy", async () => {
    const { connections } = await blocked({}, 'http://a.invalid/', () => 'https://hub.test:8443');
    expect(connections).toBe(0);
  });
});
