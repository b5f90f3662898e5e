// biome-ignore-all lint/suspicious/noTemplateCurlyInString: ${probe:NAME} is what endpoints hold
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Checker } from '../../../probe/checks/check.ts';
import { createTargetPolicy } from '../../../probe/policy/target-policy.ts';
import { failureTable } from '../../../shared/failure.ts';
import { parseNetworkRule } from '../../../shared/network-rule.ts';
import type { Observation } from '../../../shared/result.ts';
import { lyingSite } from './lying-site.ts';
import { assignmentOf, checkOnce, startChecker, type Wish } from './scene.ts';
import { type RawServer, startRawServer, whole } from './servers.ts';

let checker: Checker;
let site: RawServer;

beforeAll(async () => {
  checker = await startChecker();
  site = await startRawServer((socket, asked) => {
    const answer = lyingSite[asked.path.replace(/\?.*/, '')];
    if (answer) answer(socket, asked);
    else socket.end(whole('not found', [], '404 Not Found'));
  });
});
afterAll(async () => {
  await checker.close();
  await site.close();
});

type Expected = Partial<Observation> & { readonly code?: string; readonly says?: RegExp };
type Row = readonly [path: string, wish: Wish, expected: Expected];

/** What must hold of every observation, whatever the target did. */
function soundness({ outcome, failure, timings, ...seen }: Observation, timeoutMs: number): void {
  const reached = [timings.dns, timings.connect, timings.tls, timings.wait, timings.transfer];
  for (const us of [...reached, timings.total]) {
    if (us !== null) expect(us).toSatisfy((value: number) => Number.isSafeInteger(value) && value >= 0);
  }
  const sum = reached.reduce<number>((all, us) => all + (us ?? 0), 0);
  expect(sum).toBeLessThanOrEqual(timings.total + 10);
  expect(timings.total).toBeLessThan((timeoutMs + 300) * 1000);
  if (failure) {
    expect(outcome).toBe(failureTable[failure.code].outcome);
    expect(Buffer.byteLength(failure.message)).toBeLessThanOrEqual(200);
    expect(failure.message).not.toMatch(/secret|token=/);
  } else expect(['up', 'degraded']).toContain(outcome);
  expect(seen.bytes).toBeGreaterThanOrEqual(0);
}

async function run(base: string, [path, wish, { code, says, ...rest }]: Row): Promise<Observation> {
  const seen = await checkOnce(checker, `${base}${path}`, wish);
  soundness(seen, wish.timeoutMs ?? 2000);
  expect(seen.failure?.code ?? null).toBe(code ?? null);
  if (says) expect(seen.failure?.message).toMatch(says);
  expect(seen).toMatchObject(rest);
  return seen;
}

const quick = { timeoutMs: 250 };
const reads = (over: object = {}) => ({ expect: { body: { matches: ['fox'] }, ...over } });
const up: Expected = { outcome: 'up' };
const down = (code: string, more: Expected = {}): Expected => ({ outcome: 'down', code, ...more });

describe('answers that are good', () => {
  const rows: Row[] = [
    [
      '/ok',
      {},
      { ...up, status: 200, httpVersion: '1.1', remoteIp: '127.0.0.1', bytes: 29, redirects: 0, tls: null },
    ],
    ['/ok?token=secret', {}, up],
    ['/http10', {}, { ...up, httpVersion: '1.0', bytes: 2 }],
    ['/chunked', { expect: { body: { matches: ['hello world'] } } }, { ...up, bytes: 11 }],
    ['/trailers', {}, { ...up, bytes: 2 }],
    ['/until-close', { expect: { body: { matches: ['until the end'] } } }, { ...up, bytes: 13 }],
    ['/204', {}, { ...up, status: 204, bytes: 0 }],
    ['/304', { expect: { status: ['304'] } }, { ...up, status: 304, bytes: 0 }],
    ['/head', { request: { method: 'HEAD' } }, { ...up, bytes: 0 }],
    ['/early-hints', reads(), { ...up, status: 200 }],
    ['/long-reason', {}, up],
    ['/long', {}, { ...up, bytes: 5 }],
  ];
  test.each(rows)('%s %j', async (...row) => {
    await run(`http://127.0.0.1:${site.port}`, row);
  });
});

describe('answers that lie about their length', () => {
  const rows: Row[] = [
    ['/short', {}, down('body.reset', { status: 200, bytes: 10 })],
    ['/short-open', quick, down('body.timeout', { status: 200, bytes: 10 })],
    ['/two-lengths', {}, down('http.protocol')],
    ['/negative-length', {}, down('http.protocol')],
    ['/length-and-chunks', {}, down('http.protocol')],
    ['/bad-chunk', {}, down('http.protocol', { status: 200 })],
    ['/cut-chunk', {}, down('body.reset', { status: 200, bytes: 5 })],
    ['/open-chunk', quick, down('body.timeout', { bytes: 5 })],
  ];
  test.each(rows)('%s %j', async (...row) => {
    await run(`http://127.0.0.1:${site.port}`, row);
  });
});

describe('answers that are none', () => {
  const rows: Row[] = [
    ['/http09', {}, down('http.protocol', { status: null })],
    ['/ssh', {}, down('http.protocol')],
    ['/nul-header', {}, down('http.protocol')],
    ['/no-colon', {}, down('http.protocol')],
    ['/short-status', {}, down('http.protocol')],
    ['/zero-status', {}, down('http.protocol')],
    ['/http3', {}, down('http.protocol')],
    ['/switching', {}, down('http.protocol', { says: /informational/ })],
    ['/status-999', {}, down('expect.status', { status: 999 })],
  ];
  test.each(rows)('%s %j', async (...row) => {
    await run(`http://127.0.0.1:${site.port}`, row);
  });
});

describe('answers that never end', () => {
  const small = { timeoutMs: 1500, expect: { maxBodyBytes: '1KiB' } };
  const rows: Row[] = [
    ['/endless-reason', small, down('http.protocol', { says: /giving up/ })],
    ['/endless-headers', {}, down('http.protocol', { says: /64 KiB of headers/ })],
    ['/huge-header', {}, down('http.protocol', { says: /64 KiB of headers/ })],
    ['/endless-trailers', {}, down('http.protocol', { says: /64 KiB of headers/ })],
    ['/endless-1xx', {}, down('http.protocol', { says: /more than 16 informational/ })],
    ['/endless-extension', small, down('http.protocol', { says: /giving up/ })],
    ['/endless-body', small, { ...up, truncated: true }],
    ['/endless-body', { expect: { maxBodyBytes: '1KiB', ...reads().expect } }, down('body.too_large')],
    ['/endless-chunks', small, { ...up, truncated: true }],
    ['/dripping-head', quick, down('wait.timeout', { status: null })],
    ['/dripping-body', quick, down('body.timeout', { status: 200 })],
    ['/dripping-1xx', quick, down('wait.timeout')],
    ['/silence', quick, down('wait.timeout', { says: /no answer within 250 ms/ })],
  ];
  test.each(rows)('%s %j', async (...row) => {
    const seen = await run(`http://127.0.0.1:${site.port}`, row);
    if (row[0].startsWith('/dripping')) expect(seen.timings.total).toBeGreaterThan(240_000);
  });
});

describe('connections that end too early', () => {
  const rows: Row[] = [
    ['/fin', {}, down('request.reset', { says: /closed/ })],
    ['/rst', {}, down('request.reset', { says: /reset/ })],
    ['/half-status', {}, down('request.reset')],
    ['/fin-in-head', {}, down('request.reset')],
    ['/rst-in-body', {}, down('body.reset', { status: 200, bytes: 5 })],
  ];
  test.each(rows)('%s %j', async (...row) => {
    await run(`http://127.0.0.1:${site.port}`, row);
  });

  test('closed as soon as it stands', async () => {
    const rude = await startRawServer(() => undefined, { greet: (socket) => socket.destroy() });
    await run(`http://127.0.0.1:${rude.port}`, ['/', {}, down('request.reset', { status: null })]);
    await rude.close();
  });

  test('reset as soon as it stands: the kernel tells before or after the connection is known', async () => {
    const rude = await startRawServer(() => undefined, { greet: (socket) => socket.resetAndDestroy() });
    const { failure } = await checkOnce(checker, `http://127.0.0.1:${rude.port}/`);
    expect(failure?.code).toMatch(/^(connect|request)\.reset$/);
    await rude.close();
  });

  test('nobody listens', async () => {
    const gone = await startRawServer(() => undefined);
    await gone.close();
    const seen = await run(`http://127.0.0.1:${gone.port}`, ['/', {}, down('connect.refused')]);
    expect(seen.timings.connect).not.toBeNull();
    expect(seen.timings.wait).toBeNull();
  });
});

describe('content codings', () => {
  const capped = { expect: { maxBodyBytes: '1MiB' } };
  const readsCapped = reads({ maxBodyBytes: '1MiB' });
  const rows: Row[] = [
    ...['/gzip', '/br', '/deflate', '/deflate-raw', '/zstd', '/gzip-br'].map(
      (path): Row => [path, reads(), up],
    ),
    ['/gzip-empty', { expect: { body: { notMatches: ['fox'] } } }, up],
    ['/gzip-broken', {}, down('body.encoding', { status: 200 })],
    ['/gzip-broken', reads(), down('body.encoding')],
    ['/gzip-cut', reads(), down('body.encoding')],
    ['/compress', {}, up],
    ['/compress', reads(), down('body.encoding')],
    ['/four-codings', {}, down('body.encoding')],
    ...['/bomb-gzip', '/bomb-br', '/bomb-deflate', '/bomb-zstd', '/bomb-twice'].flatMap((path): Row[] => [
      [path, readsCapped, down('body.too_large')],
      [path, capped, { ...up, truncated: true }],
    ]),
    ['/latin1', { expect: { body: { matches: ['café'] } } }, up],
  ];
  test.each(rows)('%s %j', async (...row) => {
    await run(`http://127.0.0.1:${site.port}`, row);
  });
});

describe('expectations', () => {
  const of = (path: string, wish: object, expected: Expected): Row => [path, { expect: wish }, expected];
  const header = (over: object) => ({ headers: [{ name: 'X-Shop', ...over }] });
  const json = (path: string, over: object) => ({ json: [{ path, ...over }] });
  const rows: Row[] = [
    of('/500', {}, down('expect.status', { status: 500, says: /status 500, expected 2xx/ })),
    of('/404', { status: ['2xx', '404'] }, up),
    of('/404', { status: ['400-410'] }, up),
    of('/404', { status: ['400-403', '405'] }, down('expect.status')),
    of('/404', { status: [404] }, up),
    of('/http10', { httpVersions: ['1.0'] }, up),
    of(
      '/http10',
      { httpVersions: ['1.1', '2'] },
      down('expect.version', { says: /HTTP\/1.0, expected 1.1 or 2/ }),
    ),
    of('/ok', header({ matches: 'open' }), up),
    of('/ok', header({ matches: '^op.n$' }), up),
    of('/ok', header({ matches: 'closed' }), down('expect.header', { says: /x-shop does not match/ })),
    of('/ok', header({ matches: '^o$' }), down('expect.header')),
    of('/ok', header({ notMatches: 'clos.d' }), up),
    of('/ok', header({ notMatches: 'open' }), down('expect.header', { says: /matches what it should not/ })),
    of('/ok', { headers: [{ name: 'X-Gone', matches: 'a' }] }, down('expect.header', { says: /missing/ })),
    of('/ok', { headers: [{ name: 'X-Gone', matches: 'a', allowMissing: true }] }, up),
    of('/ok', { headers: [{ name: 'set-cookie', matches: 'b=2' }] }, up),
    of('/ok', { headers: [{ name: 'set-cookie', notMatches: 'b=2' }] }, down('expect.header')),
    of('/ok', { body: { matches: ['brown fox'] } }, up),
    of(
      '/ok',
      { body: { matches: ['brown wolf'] } },
      down('expect.body', { says: /does not match brown wolf/ }),
    ),
    of('/ok', { body: { matches: ['fox, \\d+ times$'] } }, up),
    of('/ok', { body: { matches: ['^fox'] } }, down('expect.body')),
    of('/ok', { body: { notMatches: ['error'] } }, up),
    of('/ok', { body: { notMatches: ['fo[x]'] } }, down('expect.body', { says: /the body matches fo\[x\]/ })),
    of('/ok', { body: { matches: ['quick', 'fox', '4.'], notMatches: ['slow'] } }, up),
    of('/ok', { body: { matches: [{ pattern: '(?<=brown )fox(?!es)', engine: 'ecmascript' }] } }, up),
    of('/ok', { body: { matches: [{ pattern: 'fox(?=es)', engine: 'ecmascript' }] } }, down('expect.body')),
    of('/json', json('$.status', { equals: 'ok' }), up),
    of(
      '/json',
      json('$.status', { equals: 'bad' }),
      down('expect.json', { says: /\$\.status does not equal/ }),
    ),
    of('/json', json('$.none', { equals: null }), up),
    of('/json', json('$.up', { equals: true }), up),
    of('/json', json('$.up', { equals: 'true' }), down('expect.json')),
    of('/json', json("$['a b']", { equals: 'x' }), up),
    of('/json', json('$.depth.queue[1].max', { gt: 7, lt: 8 }), up),
    of('/json', json('$.depth.queue[0]', { gt: 3 }), down('expect.json', { says: /above 3/ })),
    of('/json', json('$.depth.queue[0]', { lt: 3 }), down('expect.json', { says: /below 3/ })),
    of('/json', json('$.status', { lt: 3 }), down('expect.json')),
    of('/json', json('$.status', { matches: '^o.$' }), up),
    of('/json', json('$.status', { matches: 'no' }), down('expect.json')),
    of('/json', json('$.status', { matches: '^n' }), down('expect.json')),
    of('/json', json('$.depth', { matches: '"max":7' }), up),
    of('/deep-json', json('$.a', { matches: '^x' }), down('expect.json', { says: /nested too deeply/ })),
    of('/deeper-json', json('$.a', { matches: '^x' }), down('expect.json', { says: /nested too deeply/ })),
    of('/json', json('$.gone', { exists: false }), up),
    of('/json', json('$.gone', { exists: true }), down('expect.json', { says: /missing/ })),
    of('/json', json('$.gone', { equals: 1 }), down('expect.json', { says: /missing/ })),
    of('/json', json('$.status', { exists: false }), down('expect.json', { says: /is there/ })),
    of('/json', json('$.constructor', { exists: true }), down('expect.json')),
    of('/json', json('$.depth.queue.length', { exists: true }), down('expect.json')),
    of('/ok', json('$.a', { exists: true }), down('expect.json', { says: /not JSON/ })),
    of('/ok', { tls: 'required' }, down('expect.tls')),
    of('/ok', { tls: 'forbidden' }, up),
    of('/slow', { slowerThan: '50ms' }, { outcome: 'degraded', failure: null }),
    of('/slow', { slowerThan: '1500ms' }, up),
    of('/ok', { maxBodyBytes: '29B', body: { matches: ['times'] } }, { ...up, truncated: false }),
    of('/ok', { maxBodyBytes: '28B', body: { matches: ['times'] } }, down('body.too_large')),
    of('/ok', { maxBodyBytes: '28B' }, { ...up, truncated: true }),
  ];
  test.each(rows)('%s %j', async (...row) => {
    await run(`http://127.0.0.1:${site.port}`, row);
  });
});

describe('redirects', () => {
  const follows = (request: object): Wish => ({ request });
  const rows: Row[] = [
    ['/to-ok', {}, { ...up, status: 200, redirects: 1 }],
    ['/a/to-relative', {}, { ...up, redirects: 1 }],
    [
      '/to-ok',
      { request: { redirects: 0 }, expect: { status: ['302'] } },
      { ...up, status: 302, redirects: 0 },
    ],
    ['/to-nowhere', { expect: { status: ['302'] } }, { ...up, status: 302 }],
    ['/to-itself', follows({ redirects: 3 }), down('http.redirects', { redirects: 3, says: /more than 3/ })],
    ['/to-itself-slowly', { timeoutMs: 200, request: { redirects: 20 } }, down('wait.timeout')],
    ['/to-private', {}, { outcome: 'skipped', code: 'policy.blocked', redirects: 1, says: /10\.0\.0\.1/ }],
    ['/to-metadata', {}, { outcome: 'skipped', code: 'policy.blocked', says: /link-local/ }],
    ['/to-octal', {}, { outcome: 'skipped', code: 'policy.blocked', says: /169\.254/ }],
    ['/to-mapped', {}, { outcome: 'skipped', code: 'policy.blocked', says: /IPv4-mapped/ }],
    ['/to-hub', {}, { outcome: 'skipped', code: 'policy.blocked', says: /own hub/ }],
    ['/to-file', {}, down('http.redirects', { says: /file:/ })],
    ['/to-nonsense', {}, down('http.redirects', { says: /not a URL/ })],
  ];
  test.each(rows)('%s %j', async (...row) => {
    await run(`http://127.0.0.1:${site.port}`, row);
  });

  test.each([
    ['/to-301', 'POST', 'GET', ''],
    ['/to-ok', 'POST', 'GET', ''],
    ['/to-303', 'POST', 'GET', ''],
    ['/to-303', 'PUT', 'GET', ''],
    ['/to-301', 'PUT', 'PUT', 'form'],
    ['/to-307', 'POST', 'POST', 'form'],
    ['/to-308', 'PATCH', 'PATCH', 'form'],
    ['/to-ok', 'HEAD', 'HEAD', ''],
    ['/to-303', 'HEAD', 'HEAD', ''],
  ])('%s asked with %s goes on with %s and the body %j', async (path, method, then, body) => {
    const request = {
      method,
      body: method === 'HEAD' ? '' : 'form',
      headers: { 'content-type': 'text/x', 'x-key': 'k' },
    };
    await run(`http://127.0.0.1:${site.port}`, [path, { request }, { ...up, redirects: 1 }]);
    const last = site.asked.at(-1);
    expect([last?.method, last?.body]).toEqual([then, body]);
    expect(last?.headers['content-type']).toBe(then === method ? 'text/x' : undefined);
    expect(last?.headers['x-key']).toBe('k');
  });

  test('to another origin no credentials go along, and no header that may be one', async () => {
    const other = await startRawServer((socket) => void socket.end(whole('hi')));
    const first = await startRawServer(
      (socket) => void socket.end(whole('', [`Location: http://u:p@127.0.0.1:${other.port}/x`], '302 Found')),
    );
    const request = {
      bearer: '${probe:SECRET}',
      headers: { Cookie: 'a=b', 'X-Api-Key': 'k', Accept: 'text/x', Host: 'inner.test' },
    };
    await run(`http://127.0.0.1:${first.port}`, ['/', { request }, { ...up, redirects: 1 }]);
    expect(first.asked[0]?.headers).toMatchObject({
      authorization: 'Bearer s3cret',
      cookie: 'a=b',
      host: 'inner.test',
    });
    expect(other.asked[0]?.headers).toEqual({
      host: `127.0.0.1:${other.port}`,
      connection: 'close',
      accept: 'text/x',
      'user-agent': 'Parallax/0.0.0',
      'accept-encoding': 'gzip, br, deflate, zstd',
    });
    await Promise.all([first.close(), other.close()]);
  });

  test('to another origin no body goes along', async () => {
    const other = await startRawServer((socket) => void socket.end(whole('hi')));
    const first = await startRawServer(
      (socket) => void socket.end(whole('', [`Location: http://127.0.0.1:${other.port}/`], '307 T')),
    );
    const request = { method: 'POST', body: 'password=1' };
    await run(`http://127.0.0.1:${first.port}`, ['/', { request }, down('http.redirects', { says: /body/ })]);
    expect(other.connections()).toBe(0);
    await Promise.all([first.close(), other.close()]);
  });
});

describe('what is asked', () => {
  const pem = (what: string) => `-----BEGIN ${what}-----\nAAAA\n-----END ${what}-----\n`;
  const asks = async (request: object, wish: Wish = {}) => {
    await run(`http://127.0.0.1:${site.port}`, ['/ok', { request, ...wish }, up]);
    return site.asked.at(-1);
  };

  test('by default', async () => {
    expect(await asks({})).toEqual({
      method: 'GET',
      path: '/ok',
      body: '',
      headers: {
        host: `127.0.0.1:${site.port}`,
        connection: 'close',
        'user-agent': 'Parallax/0.0.0',
        accept: '*/*',
        'accept-encoding': 'gzip, br, deflate, zstd',
      },
    });
  });

  test.each([
    [{ method: 'POST', body: 'a=1' }, { 'content-length': '3' }],
    [{ headers: { 'User-Agent': 'me' } }, { 'user-agent': 'me' }],
    [{ headers: { Host: 'inner.test' } }, { host: 'inner.test' }],
    [{ headers: { 'X-Name': 'Jörg ☃' } }, { 'x-name': Buffer.from('Jörg ☃').toString('latin1') }],
    [{ basicAuth: { username: 'u', password: '${probe:SECRET}' } }, { authorization: 'Basic dTpzM2NyZXQ=' }],
    [{ bearer: 'abc' }, { authorization: 'Bearer abc' }],
    [{ headers: { 'X-Key': 'a${probe:SECRET}b' } }, { 'x-key': 'as3cretb' }],
    [{ compression: 'identity' }, { 'accept-encoding': 'identity' }],
    [{ compression: 'zstd' }, { 'accept-encoding': 'zstd' }],
  ])('%j sends %j', async (request, headers) => {
    expect((await asks(request))?.headers).toMatchObject(headers);
  });

  test('a body may come from the environment of the probe', async () => {
    expect((await asks({ method: 'PUT', body: '{"k":"${probe:SECRET}"}' }))?.body).toBe('{"k":"s3cret"}');
  });

  test('resolveTo dials elsewhere and asks for the name', async () => {
    const request = { resolveTo: '127.0.0.1' };
    const seen = await checkOnce(checker, `http://shop.invalid:${site.port}/ok`, { request });
    expect(seen).toMatchObject({ outcome: 'up', remoteIp: '127.0.0.1', timings: { dns: null } });
    expect(site.asked.at(-1)?.headers.host).toBe(`shop.invalid:${site.port}`);
  });

  test.each<[object, RegExp]>([
    [{ bearer: '${probe:UNSET_NAME}' }, /UNSET_NAME\} is not set/],
    [{ headers: { 'X-A': '${probe:PARALLAX_TOKEN}' } }, /PARALLAX_TOKEN\} is one of the probe's own/],
    [{ tls: { ca: pem('CERTIFICATE') } }, /cannot be prepared: ERR_OSSL/],
    [{ tls: { key: pem('PRIVATE KEY') } }, /cannot be prepared: ERR_OSSL/],
  ])('%j cannot be asked here, and the target is not to blame', async (request, says) => {
    const before = site.connections();
    await run(`http://127.0.0.1:${site.port}`, [
      '/ok',
      { request },
      { outcome: 'skipped', code: 'probe.internal', says },
    ]);
    expect(site.connections()).toBe(before);
  });
});

describe("the hub's own origin", () => {
  test.each<[string, (port: number) => string, object]>([
    ['by its name', (port) => `http://hub.test:${port}/`, {}],
    ['by its name with a dot', (port) => `http://HUB.test.:${port}/`, {}],
    ['dialled elsewhere', (port) => `http://hub.test:${port}/`, { resolveTo: '127.0.0.1' }],
    ['by a Host header', (port) => `http://127.0.0.1:${port}/`, { headers: { host: 'hub.test' } }],
    [
      'by a Host header with a port',
      (port) => `http://127.0.0.1:${port}/`,
      { headers: { Host: 'Hub.Test.:80' } },
    ],
    ['by an SNI name', (port) => `https://127.0.0.1:${port}/`, { serverName: 'hub.test' }],
  ])('is no target %s', async (_, url, request) => {
    const policy = createTargetPolicy({
      allowNetworks: [parseNetworkRule('127.0.0.0/8')],
      allowProxy: false,
      hubOrigins: [`https://hub.test:${site.port}`],
    });
    const careful = await startChecker({ policy });
    const before = site.connections();
    const seen = await checkOnce(careful, url(site.port), { request });
    expect(seen).toMatchObject({ outcome: 'skipped', failure: { code: 'policy.blocked' } });
    expect(seen.failure?.message).toMatch(/own hub/);
    expect(site.connections()).toBe(before);
    await careful.close();
  });
});

describe('the deadline and the stop', () => {
  test('a check that is stopped blames nobody', async () => {
    const stop = new AbortController();
    const running = checker.check(assignmentOf(`http://127.0.0.1:${site.port}/silence`), stop.signal);
    setTimeout(() => stop.abort(), 50);
    expect(await running).toMatchObject({ outcome: 'skipped', failure: { code: 'probe.internal' } });
    const after = await checker.check(assignmentOf(`http://127.0.0.1:${site.port}/ok`), stop.signal);
    expect(after).toMatchObject({ outcome: 'skipped', failure: { code: 'probe.internal' } });
  });

  test('a server that dies between connection and request does not keep the check', async () => {
    const wish = { timeoutMs: 1000 };
    const rude = await startRawServer(() => undefined, { greet: (socket) => socket.end() });
    const all = await Promise.all(
      Array.from({ length: 50 }, () => checkOnce(checker, `http://127.0.0.1:${rude.port}/`, wish)),
    );
    for (const seen of all) expect(seen.failure?.code).toBe('request.reset');
    await rude.close();
  });
});
