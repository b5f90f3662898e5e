// biome-ignore-all lint/suspicious/noTemplateCurlyInString: ${probe:NAME} is what endpoints hold
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import type { Checker } from '../../../probe/checks/check.ts';
import { createTargetPolicy } from '../../../probe/policy/target-policy.ts';
import { parseNetworkRule } from '../../../shared/network-rule.ts';
import type { Observation } from '../../../shared/result.ts';
import { issue } from './certificates.ts';
import { checkOnce, startChecker } from './scene.ts';
import { type RawServer, startRawServer, whole } from './servers.ts';

const authority = await issue({ name: 'Test authority', ca: true });
const pair = await issue({ dns: ['localhost'], ips: ['127.0.0.1'] }, authority);
let checker: Checker;
let site: RawServer;
let secureSite: RawServer;

const policy = (over: { allowProxy?: boolean; allow?: readonly string[] } = {}) =>
  createTargetPolicy({
    allowNetworks: (over.allow ?? ['127.0.0.0/8', '::1']).map(parseNetworkRule),
    allowProxy: over.allowProxy ?? true,
    hubOrigins: ['https://hub.test:8443'],
  });

beforeAll(async () => {
  checker = await startChecker({ policy: policy() });
  site = await startRawServer((socket, { path }) =>
    socket.end(
      path === '/away'
        ? whole('', [`Location: http://10.0.0.1/`], '302 Found')
        : whole('the quick brown fox'),
    ),
  );
  secureSite = await startRawServer((socket) => socket.end(whole('fine')), { tls: pair });
});
afterAll(async () => {
  await checker.close();
  await site.close();
  await secureSite.close();
});

interface Socks {
  readonly port: number;
  /** Where connections were asked for: `name:port`, `v4:port`, `[v6]:port`. */
  readonly asked: string[];
  readonly credentials: string[];
  connections(): number;
}

interface Manner {
  /** What it wants of a client: 0 nothing, 2 a name and password. */
  readonly method?: number;
  /** The name and password that it takes. */
  readonly account?: string;
  /** The whole answer to CONNECT, in place of a connection. */
  readonly answer?: Buffer;
  /** The address in its answer. */
  readonly bound?: Buffer;
  /** Writes its answers a byte at a time. */
  readonly drips?: boolean;
}

const bound4 = Buffer.from([1, 0, 0, 0, 0, 0, 0]);

/** As RFC 1928 has it; every name leads to this machine. */
async function startSocks({
  method = 0,
  account,
  answer,
  bound = bound4,
  drips,
}: Manner = {}): Promise<Socks> {
  const asked: string[] = [];
  const credentials: string[] = [];
  const open = new Set<Socket>();
  let connections = 0;
  const server = createServer(async (socket) => {
    connections += 1;
    open.add(socket);
    socket.on('error', () => undefined);
    socket.once('close', () => open.delete(socket));
    const write = async (bytes: Buffer) => {
      if (!drips) return void socket.write(bytes);
      for (const byte of bytes) {
        socket.write(Buffer.from([byte]));
        await new Promise((done) => setTimeout(done, 3));
      }
    };
    const read = async (bytes: number): Promise<Buffer> => {
      for (;;) {
        const got: Buffer | null = socket.read(bytes);
        if (got) return got;
        await once(socket, 'readable');
      }
    };
    const [, count = 0] = await read(2);
    const offered = [...(await read(count))];
    if (!offered.includes(method)) return void write(Buffer.from([5, 255]));
    await write(Buffer.from([5, method]));
    if (method === 2) {
      const [, nameBytes = 0] = await read(2);
      const name = String(await read(nameBytes));
      const password = String(await read((await read(1))[0] ?? 0));
      credentials.push(`${name}:${password}`);
      await write(Buffer.from([1, `${name}:${password}` === account ? 0 : 1]));
    }
    const [, , , kind] = await read(4);
    const host =
      kind === 1
        ? [...(await read(4))].join('.')
        : kind === 4
          ? `[${(await read(16)).toString('hex')}]`
          : String(await read((await read(1))[0] ?? 0));
    const port = (await read(2)).readUInt16BE();
    asked.push(`${host}:${port}`);
    if (answer) return void write(answer);
    const onward = connect(port, '127.0.0.1');
    onward.on('error', () => socket.destroy());
    socket.once('close', () => onward.destroy());
    await once(onward, 'connect');
    await write(Buffer.concat([Buffer.from([5, 0, 0]), bound]));
    socket.pipe(onward).pipe(socket);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    for (const socket of open) socket.destroy();
    server.close();
  });
  return { port: (server.address() as AddressInfo).port, asked, credentials, connections: () => connections };
}

const by = (socks: { port: number }, over: object = {}, account = '') => ({
  timeoutMs: 1000,
  request: { proxy: `socks5://${account}127.0.0.1:${socks.port}`, tls: { ca: authority.cert }, ...over },
});
const told = ({ outcome, failure }: Observation) => `${outcome} ${failure?.code ?? ''}`.trim();

describe('through SOCKS5', () => {
  test('plain HTTP: the name is the proxy’s to resolve, the request is as it would be without one', async () => {
    const socks = await startSocks();
    const wish = { ...by(socks), expect: { body: { matches: ['fox'] } } };
    const seen = await checkOnce(checker, `http://inner.invalid:${site.port}/a?b=c`, wish);
    expect(told(seen), seen.failure?.message).toBe('up');
    expect(socks.asked).toEqual([`inner.invalid:${site.port}`]);
    expect(site.asked.at(-1)).toMatchObject({
      path: '/a?b=c',
      headers: { host: `inner.invalid:${site.port}` },
    });
    expect(seen.timings.connect).toBeGreaterThan(0);
    expect(seen.timings.dns).toBeNull();
  });

  test('HTTPS', async () => {
    const socks = await startSocks();
    const request = { serverName: 'localhost' };
    const seen = await checkOnce(checker, `https://inner.invalid:${secureSite.port}/`, by(socks, request));
    expect(told(seen), seen.failure?.message).toBe('up');
    expect(seen.tls?.version).toBe('TLSv1.3');
  });

  test.each<[string, object, RegExp]>([
    ['127.0.0.1', {}, /^127\.0\.0\.1:/],
    ['[::1]', {}, /^\[0{31}1\]:/],
    ['inner.invalid', { resolveTo: '127.0.0.1' }, /^127\.0\.0\.1:/],
    ['inner.invalid', { resolveTo: '::1' }, /^\[0{31}1\]:/],
  ])('an address goes as one: %s %j', async (host, request, expected) => {
    const socks = await startSocks();
    expect(told(await checkOnce(checker, `http://${host}:${site.port}/`, by(socks, request)))).toBe('up');
    expect(socks.asked[0]).toMatch(expected);
  });

  test('name and password, also from the environment of the probe', async () => {
    const socks = await startSocks({ method: 2, account: 'u@x:s3cret' });
    const seen = await checkOnce(
      checker,
      `http://a.invalid:${site.port}/`,
      by(socks, {}, 'u%40x:${probe:SECRET}@'),
    );
    expect(told(seen), seen.failure?.message).toBe('up');
    expect(socks.credentials).toEqual(['u@x:s3cret']);
    expect(JSON.stringify(site.asked.at(-1))).not.toContain('s3cret');
  });

  test('a proxy that wants none is not told them', async () => {
    const socks = await startSocks();
    expect(told(await checkOnce(checker, `http://a.invalid:${site.port}/`, by(socks, {}, 'u:p@')))).toBe(
      'up',
    );
    expect(socks.credentials).toEqual([]);
  });

  test.each<[string, Manner]>([
    ['that drips', { drips: true }],
    ['whose own end is IPv6', { bound: Buffer.concat([Buffer.from([4]), Buffer.alloc(18)]) }],
    ['whose own end has a name', { bound: Buffer.from([3, 3, 97, 46, 98, 0, 80]) }],
  ])('an answer %s is read to its last byte', async (_, manner) => {
    const socks = await startSocks(manner);
    const wish = { ...by(socks), expect: { body: { matches: ['fox'] } } };
    expect(told(await checkOnce(checker, `http://a.invalid:${site.port}/`, wish))).toBe('up');
  });

  test('redirects go the same way, and are vetted', async () => {
    const socks = await startSocks();
    const seen = await checkOnce(checker, `http://a.invalid:${site.port}/away`, by(socks));
    expect(seen).toMatchObject({ outcome: 'skipped', failure: { code: 'policy.blocked' }, redirects: 1 });
    expect(socks.asked).toHaveLength(1);
  });
});

describe('a proxy that is no good', () => {
  const reply = (code: number) => Buffer.concat([Buffer.from([5, code, 0]), bound4]);
  test.each<[string, Manner, string, RegExp]>([
    ['wants a password', { method: 2, account: 'u:p' }, 'connect.unreachable', /other credentials/],
    ['wants what nobody knows', { method: 1 }, 'connect.unreachable', /other credentials/],
    ['has a failure', { answer: reply(1) }, 'connect.unreachable', /\(1\)/],
    ['forbids it', { answer: reply(2) }, 'connect.unreachable', /rules forbid/],
    ['finds no host', { answer: reply(4) }, 'connect.unreachable', /cannot reach or find/],
    ['was refused by the target', { answer: reply(5) }, 'connect.refused', /target refused/],
    ['had no answer of the target', { answer: reply(6) }, 'connect.timeout', /did not answer/],
    ['says what is in no RFC', { answer: reply(77) }, 'connect.unreachable', /answered 77/],
    [
      'answers in another version',
      { answer: Buffer.from([4, 90, 0, 1]) },
      'connect.unreachable',
      /not SOCKS5/,
    ],
    ['answers with no address', { answer: Buffer.from([5, 0, 0, 9]) }, 'connect.unreachable', /not SOCKS5/],
  ])('that %s', async (_, manner, code, says) => {
    const socks = await startSocks(manner);
    const seen = await checkOnce(checker, `http://a.invalid:${site.port}/`, by(socks));
    expect(seen.failure?.code).toBe(code);
    expect(seen.failure?.message).toMatch(says);
    expect(seen.failure?.message).toMatch(/^the proxy/);
  });

  test('that refuses the password', async () => {
    const socks = await startSocks({ method: 2, account: 'u:other' });
    const seen = await checkOnce(checker, `http://a.invalid:${site.port}/`, by(socks, {}, 'u:p@'));
    expect(seen.failure).toMatchObject({ code: 'connect.unreachable', source: 'network' });
    expect(seen.failure?.message).toMatch(/refused the name and password/);
  });

  test.each<[string, (socket: Socket) => void, string]>([
    ['says nothing', () => undefined, 'connect.timeout'],
    ['hangs up', (socket) => void socket.end(), 'connect.unreachable'],
    ['hangs up within its answer', (socket) => void socket.end(Buffer.from([5])), 'connect.unreachable'],
    ['resets', (socket) => void socket.resetAndDestroy(), 'connect.unreachable'],
    ['speaks HTTP', (socket) => void socket.write('HTTP/1.1 400 Bad Request\r\n\r\n'), 'connect.unreachable'],
    [
      'floods',
      (socket) => {
        const more = () => {
          while (!socket.destroyed && socket.write(Buffer.alloc(16_384)));
        };
        socket.on('drain', more);
        more();
      },
      'connect.unreachable',
    ],
    [
      'drips',
      (socket) => {
        const bytes = [5, 0, 5, 0, 0, 3, 255];
        const timer = setInterval(() => socket.write(Buffer.from([bytes.shift() ?? 97])), 20);
        socket.once('close', () => clearInterval(timer));
      },
      'connect.timeout',
    ],
  ])('that %s', async (_, greet, code) => {
    const server = await startRawServer(() => undefined, { greet });
    onTestFinished(() => server.close());
    const seen = await checkOnce(checker, 'http://a.invalid/', { ...by(server), timeoutMs: 400 });
    expect(seen.failure?.code, seen.failure?.message).toBe(code);
    expect(seen.failure?.source).toBe('network');
    expect(seen.timings.total).toBeLessThan(800_000);
    expect(seen.timings.wait).toBeNull();
  });
});

describe('what the policy says', () => {
  test.each<[string, Parameters<typeof policy>[0], string, object]>([
    ['without --allow-proxy', { allowProxy: false }, 'http://a.invalid/', {}],
    ['to a private proxy', { allow: [] }, 'http://a.invalid/', {}],
    ['to a metadata address', {}, 'http://169.254.169.254/', {}],
    ['to a private address', {}, 'http://10.0.0.1/', {}],
    ['to a mapped address', {}, 'http://[::ffff:10.0.0.1]/', {}],
    ['to where resolveTo says', {}, 'https://shop.example/', { resolveTo: '10.0.0.1' }],
    ["to the probe's own hub", {}, 'https://hub.test:8443/', {}],
  ])('nothing is asked of a proxy %s', async (_, over, url, request) => {
    const socks = await startSocks();
    const careful = await startChecker({ policy: policy(over) });
    onTestFinished(() => careful.close());
    expect(told(await checkOnce(careful, url, by(socks, request)))).toBe('skipped policy.blocked');
    expect(socks.connections()).toBe(0);
  });
});
