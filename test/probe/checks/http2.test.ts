import { once } from 'node:events';
import { createSecureServer, type Http2SecureServer, type ServerHttp2Stream } from 'node:http2';
import type { AddressInfo } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { brotliCompressSync, gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import type { Checker } from '../../../probe/checks/check.ts';
import type { Observation } from '../../../shared/result.ts';
import { issue } from './certificates.ts';
import {
  endHeaders,
  endStream,
  field,
  frame,
  type Liar,
  startHttp2Liar,
  status200,
  u32,
} from './http2-liar.ts';
import { checkOnce, startChecker, type Wish } from './scene.ts';
import { type RawServer, says, startRawServer, whole } from './servers.ts';

const authority = await issue({ name: 'Test authority', ca: true });
const pair = await issue({ dns: ['localhost'], ips: ['127.0.0.1'] }, authority);
let checker: Checker;
let site: Http2SecureServer;
let old: RawServer;
/** What the site was asked, newest last. */
const asked: { readonly headers: Readonly<Record<string, unknown>>; readonly body: string }[] = [];

const text = 'the quick brown fox, 42 times';
const bomb = Buffer.alloc(8_000_000, 'a');

const answers: Readonly<Record<string, (stream: ServerHttp2Stream) => void>> = {
  '/ok': (stream) => {
    stream.respond({ ':status': 200, 'x-shop': 'open', 'set-cookie': ['a=1', 'b=2'] });
    stream.end(text);
  },
  '/204': (stream) => stream.respond({ ':status': 204 }, { endStream: true }),
  '/500': (stream) => {
    stream.respond({ ':status': 500 });
    stream.end('oops');
  },
  '/hints': (stream) => {
    stream.additionalHeaders({ ':status': 103, link: '</a>' });
    answers['/ok']?.(stream);
  },
  '/trailers': (stream) => {
    stream.respond({ ':status': 200 }, { waitForTrailers: true });
    stream.on('wantTrailers', () => stream.sendTrailers({ 'x-sum': '1' }));
    stream.end(text);
  },
  '/large': (stream) => {
    stream.respond({ ':status': 200 });
    stream.end(Buffer.alloc(3_000_000, 'x'));
  },
  '/gzip': (stream) => {
    stream.respond({ ':status': 200, 'content-encoding': 'gzip' });
    stream.end(gzipSync(text));
  },
  '/bomb': (stream) => {
    stream.respond({ ':status': 200, 'content-encoding': 'br' });
    stream.end(brotliCompressSync(bomb));
  },
  '/short': (stream) => {
    stream.respond({ ':status': 200, 'content-length': 1000 });
    stream.end('0123456789');
  },
  '/to-ok': (stream) => stream.respond({ ':status': 302, location: '/ok?token=secret' }, { endStream: true }),
  '/to-plain': (stream) =>
    stream.respond({ ':status': 302, location: `http://127.0.0.1:${old.port}/` }, { endStream: true }),
  '/to-itself': (stream) => stream.respond({ ':status': 302, location: '/to-itself' }, { endStream: true }),
  '/to-private': (stream) =>
    stream.respond({ ':status': 302, location: 'https://10.0.0.1/' }, { endStream: true }),
  '/robots.txt': (stream) => {
    stream.respond({ ':status': 200 });
    stream.end('User-agent: *\nDisallow: /secret\n');
  },
  '/silence': () => undefined,
  '/reset': (stream) => stream.close(2),
  '/gone': (stream) => stream.session?.destroy(),
  '/gone-in-body': (stream) => {
    stream.respond({ ':status': 200 });
    stream.write('hello');
    setTimeout(() => stream.session?.socket.destroy(), 30);
  },
  '/drip': (stream) => {
    stream.respond({ ':status': 200 });
    const timer = setInterval(() => stream.write('x'), 20);
    stream.once('close', () => clearInterval(timer));
  },
};

beforeAll(async () => {
  checker = await startChecker();
  site = createSecureServer({ ...pair, allowHTTP1: true });
  site.on('stream', (stream, headers) => {
    stream.on('error', () => undefined);
    let body = '';
    stream.on('data', (chunk) => {
      body += String(chunk);
    });
    stream.on('end', () => {
      asked.push({ headers, body });
      const answer = answers[String(headers[':path']).replace(/\?.*/, '')];
      if (answer) answer(stream);
      else stream.respond({ ':status': 404 }, { endStream: true });
    });
  });
  site.listen(0, '127.0.0.1');
  await once(site, 'listening');
  old = await startRawServer(says(whole('old')));
});
afterAll(async () => {
  await checker.close();
  site.close();
  await old.close();
});

function check(url: string, { request, ...wish }: Wish = {}): Promise<Observation> {
  return checkOnce(checker, url, {
    ...wish,
    request: { httpVersion: '2', tls: { ca: authority.cert }, ...request },
  });
}
const at = (path: string) => `https://127.0.0.1:${(site.address() as AddressInfo).port}${path}`;
const told = ({ outcome, failure }: Observation) => `${outcome} ${failure?.code ?? ''}`.trim();
const quick = { timeoutMs: 400 };
const reads = { expect: { body: { matches: ['fox'] } } };

describe('HTTP/2 as it should be', () => {
  test.each<[string, Wish, string, Partial<Observation>]>([
    ['/ok', {}, 'up', { status: 200, httpVersion: '2', bytes: 29, remoteIp: '127.0.0.1' }],
    ['/ok', reads, 'up', {}],
    ['/ok', { expect: { body: { matches: ['wolf'] } } }, 'down expect.body', {}],
    ['/ok', { expect: { headers: [{ name: 'X-Shop', matches: '^open$' }] } }, 'up', {}],
    ['/ok', { expect: { headers: [{ name: 'Set-Cookie', matches: 'b=2' }] } }, 'up', {}],
    ['/ok', { expect: { httpVersions: ['2'] } }, 'up', {}],
    ['/ok', { expect: { httpVersions: ['1.1'] } }, 'down expect.version', {}],
    ['/ok', { request: { method: 'HEAD' } }, 'up', { bytes: 0 }],
    ['/204', {}, 'up', { status: 204, bytes: 0 }],
    ['/500', {}, 'down expect.status', { status: 500, bytes: 4 }],
    ['/hints', reads, 'up', {}],
    ['/trailers', reads, 'up', {}],
    ['/gzip', reads, 'up', {}],
    ['/large', { expect: { maxBodyBytes: '4MiB' } }, 'up', { bytes: 3_000_000, truncated: false }],
    ['/large', { expect: { maxBodyBytes: '1KiB' } }, 'up', { truncated: true }],
    ['/large', { expect: { maxBodyBytes: '1KiB', ...reads.expect } }, 'down body.too_large', {}],
    ['/bomb', reads, 'down body.too_large', { truncated: true }],
    ['/to-ok', reads, 'up', { redirects: 1 }],
    ['/to-ok', { request: { redirects: 0 } }, 'down expect.status', { status: 302 }],
    ['/to-itself', {}, 'down http.redirects', { redirects: 5 }],
    ['/to-private', {}, 'skipped policy.blocked', { redirects: 1 }],
    ['/to-plain', {}, 'down protocol.refused', { redirects: 1 }],
    ['/to-plain', { request: { httpVersion: 'any' } }, 'up', { httpVersion: '1.1', redirects: 1 }],
    ['/secret', { robots: 'respect' }, 'skipped policy.robots', {}],
    ['/ok', { robots: 'respect' }, 'up', { httpVersion: '2' }],
  ])('%s %j is %s', async (path, wish, expected, seen) => {
    const found = await check(at(path), wish);
    expect(told(found), found.failure?.message).toBe(expected);
    expect(found).toMatchObject(seen);
    const { dns, connect, tls, wait, transfer, total } = found.timings;
    const sum = [dns, connect, tls, wait, transfer].reduce<number>((all, us) => all + (us ?? 0), 0);
    expect(sum).toBeLessThanOrEqual(total + 10);
  });

  test('the request is what the endpoint says', async () => {
    const headers = { Host: 'shop.test', 'X-Api-Key': 'k' };
    const request = { method: 'POST', headers, body: 'a=b', basicAuth: { username: 'u', password: 'p' } };
    expect(told(await check(at('/ok?x=1'), { request }))).toBe('up');
    expect(asked.at(-1)).toMatchObject({
      headers: {
        ':method': 'POST',
        ':path': '/ok?x=1',
        ':scheme': 'https',
        ':authority': 'shop.test',
        'x-api-key': 'k',
        authorization: `Basic ${Buffer.from('u:p').toString('base64')}`,
        'user-agent': 'Parallax/0.0.0',
      },
      body: 'a=b',
    });
    expect(asked.at(-1)?.headers).not.toHaveProperty('host');
  });

  test.each<[string, string]>([
    ['1.1', '1.1'],
    ['2', '2'],
    ['any', '2'],
  ])('asked for %s of a server that has both, it is %s', async (httpVersion, spoken) => {
    // allowHTTP1 answers by the same handler only over HTTP/2: over HTTP/1.1 node:http2 has a `request` event.
    site.once('request', (_, response) => {
      if (spoken === '1.1') response.end('hi');
    });
    const seen = await check(at('/ok'), { request: { httpVersion } });
    expect(seen).toMatchObject({ outcome: 'up', httpVersion: spoken });
    site.removeAllListeners('request');
  });
});

describe('a server without HTTP/2', () => {
  test.each<[string, readonly string[] | undefined]>([
    ['that refuses what it does not know', ['http/1.1']],
    ['that has never heard of ALPN', undefined],
  ])('%s', async (_, ALPNProtocols) => {
    const tls = { ...pair, ...(ALPNProtocols ? { ALPNProtocols: [...ALPNProtocols] } : {}) };
    const server = await startRawServer(says(whole('hi')), { tls });
    onTestFinished(() => server.close());
    const url = `https://127.0.0.1:${server.port}/`;
    const seen = await check(url);
    expect(seen.failure).toMatchObject({ code: 'protocol.refused', source: 'target' });
    expect(seen.failure?.message).toMatch(/ALPN/);
    expect(seen.tls === null).toBe(ALPNProtocols !== undefined);
    expect(server.asked).toEqual([]);
    expect(await check(url, { request: { httpVersion: 'any' } })).toMatchObject({
      outcome: 'up',
      httpVersion: '1.1',
    });
  });
});

describe('HTTP/2 that goes wrong', () => {
  test.each<[string, string, RegExp]>([
    ['/silence', 'down wait.timeout', /no answer within 400 ms/],
    ['/drip', 'down body.timeout', /did not end/],
    ['/reset', 'down request.reset', /RST_STREAM INTERNAL_ERROR/],
    ['/gone', 'down request.reset', /./],
    ['/gone-in-body', 'down body.reset', /after 5 bytes/],
    ['/short', 'down http.protocol', /./],
  ])('%s is %s', async (path, expected, says) => {
    const seen = await check(at(path), quick);
    expect(told(seen), seen.failure?.message).toBe(expected);
    expect(seen.failure?.message).toMatch(says);
    expect(seen.timings.total).toBeLessThan(800_000);
  });

  const answer = frame('headers', endHeaders, 1, status200);
  const done = frame('data', endStream, 1, 'hi');
  const big = Buffer.concat(Array.from({ length: 16 }, (_, at) => field(`x-${at}`, 'b'.repeat(1000))));
  /** Again and again, as fast as it is taken. */
  const flood = (start: Buffer, part: Buffer) => (socket: TLSSocket) => {
    const many = Buffer.concat(Array.from({ length: Math.ceil(16_384 / part.length) }, () => part));
    socket.write(start);
    const more = () => {
      while (!socket.destroyed && socket.write(many));
    };
    socket.on('drain', more);
    more();
  };
  const nothing = Buffer.alloc(0);
  /** A literal whose length takes three bytes (RFC 7541, section 5.1). */
  const longField = (name: string, bytes: number) => {
    const rest = bytes - 127;
    const length = [127, (rest & 127) | 128, ((rest >> 7) & 127) | 128, rest >> 14];
    const head = [0, name.length, ...Buffer.from(name), ...length];
    return Buffer.concat([Buffer.from(head), Buffer.alloc(bytes, 'b')]);
  };

  test.each<[string, Liar, string, RegExp]>([
    ['is good all the same', { asked: (s) => s.write(Buffer.concat([answer, done])) }, 'up', /^$/],
    [
      'never acknowledges, never sends settings',
      { opened: () => undefined, asked: (s) => s.write(Buffer.concat([frame('settings'), answer, done])) },
      'up',
      /^$/,
    ],
    [
      'sends no settings at all',
      { opened: () => undefined, asked: (s) => s.write(Buffer.concat([answer, done])) },
      'down http.protocol',
      /not HTTP\/2/,
    ],
    ['says nothing', { opened: () => undefined }, 'down wait.timeout', /./],
    [
      'is HTTP/1.1',
      { opened: (s) => s.write('HTTP/1.1 200 OK\r\n\r\n') },
      'down http.protocol',
      /not HTTP\/2/,
    ],
    ['is garbage', { opened: (s) => s.write(Buffer.alloc(5000, 0xa5)) }, 'down http.protocol', /./],
    ['hangs up', { opened: (s) => s.end() }, 'down request.reset', /./],
    ['hangs up when asked', { asked: (s) => s.end() }, 'down request.reset', /./],
    ['resets when asked', { asked: (s) => s.destroy() }, 'down request.reset', /./],
    [
      'goes away at once, in peace',
      { opened: (s) => s.write(Buffer.concat([frame('settings'), frame('goaway', 0, 0, u32(0, 0))])) },
      'down request.reset',
      /./,
    ],
    [
      'goes away when asked',
      { asked: (s) => s.write(frame('goaway', 0, 0, u32(0, 11))) },
      'down http.protocol',
      /GOAWAY ENHANCE_YOUR_CALM/,
    ],
    [
      'goes away and answers',
      { asked: (s) => s.write(Buffer.concat([frame('goaway', 0, 0, u32(1, 0)), answer, done])) },
      'up',
      /^$/,
    ],
    [
      'wants HTTP/1.1',
      { asked: (s) => s.write(frame('rstStream', 0, 1, u32(13))) },
      'down http.protocol',
      /HTTP_1_1_REQUIRED/,
    ],
    [
      'resets the stream',
      { asked: (s) => s.write(frame('rstStream', 0, 1, u32(8))) },
      'down request.reset',
      /CANCEL|ended/,
    ],
    [
      'resets without a reason',
      { asked: (s) => s.write(frame('rstStream', 0, 1, u32(0))) },
      'down request.reset',
      /./,
    ],
    [
      'answers, then resets without a reason',
      {
        asked: (s) =>
          s.write(Buffer.concat([answer, frame('data', 0, 1, 'hi'), frame('rstStream', 0, 1, u32(0))])),
      },
      'down body.reset',
      /after 2 bytes/,
    ],
    [
      'resets in the body',
      {
        asked: (s) =>
          s.write(Buffer.concat([answer, frame('data', 0, 1, 'hi'), frame('rstStream', 0, 1, u32(2))])),
      },
      'down body.reset',
      /RST_STREAM INTERNAL_ERROR.*after 2 bytes/,
    ],
    [
      'resets a stream that is none',
      { asked: (s) => s.write(frame('rstStream', 0, 9, u32(0))) },
      'down http.protocol',
      /./,
    ],
    [
      'answers on another stream',
      { asked: (s) => s.write(frame('headers', endHeaders | endStream, 2, status200)) },
      'down http.protocol',
      /./,
    ],
    [
      'answers without a status',
      { asked: (s) => s.write(frame('headers', endHeaders | endStream, 1, field('x-a', 'b'))) },
      'down http.protocol',
      /./,
    ],
    ['answers body first', { asked: (s) => s.write(done) }, 'down http.protocol', /./],
    ['answers twice', { asked: (s) => s.write(Buffer.concat([answer, done, answer, done])) }, 'up', /^$/],
    [
      'pushes what nobody asked for',
      { asked: (s) => s.write(frame('pushPromise', endHeaders, 1, Buffer.concat([u32(2), status200]))) },
      'down wait.timeout',
      /./,
    ],
    [
      'has names in upper case',
      {
        asked: (s) =>
          s.write(frame('headers', endHeaders | endStream, 1, Buffer.concat([status200, field('X-A', 'b')]))),
      },
      'down http.protocol',
      /./,
    ],
    [
      'packs headers that cannot be unpacked',
      { asked: (s) => s.write(frame('headers', endHeaders | endStream, 1, Buffer.alloc(50, 0xff))) },
      'down http.protocol',
      /./,
    ],
    [
      'has a frame of a size that cannot be',
      { asked: (s) => s.write(frame('ping', 0, 0, 'abc')) },
      'down http.protocol',
      /./,
    ],
    [
      'opens the window too far',
      {
        asked: (s) =>
          s.write(
            Buffer.concat([
              frame('windowUpdate', 0, 0, u32(0x7fffffff)),
              frame('windowUpdate', 0, 0, u32(0x7fffffff)),
            ]),
          ),
      },
      'down http.protocol',
      /./,
    ],
    [
      'sends more than the window holds',
      {
        asked: (s) =>
          s.write(
            Buffer.concat([
              answer,
              ...Array.from({ length: 200 }, () => frame('data', 0, 1, Buffer.alloc(16_384))),
            ]),
          ),
      },
      'up',
      /^$/,
    ],
    [
      'floods with PING',
      { asked: flood(nothing, frame('ping', 0, 0, '12345678')) },
      'down http.protocol',
      /control frames/,
    ],
    [
      'floods with SETTINGS',
      { asked: flood(nothing, frame('settings')) },
      'down http.protocol',
      /control frames/,
    ],
    [
      'floods with acknowledged SETTINGS',
      { asked: flood(nothing, frame('settings', 1)) },
      'down http.protocol',
      /./,
    ],
    [
      'floods with GOAWAY',
      { asked: flood(nothing, frame('goaway', 0, 0, u32(1, 0))) },
      'down http.protocol',
      /control frames/,
    ],
    [
      'floods with RST_STREAM',
      { asked: flood(answer, frame('rstStream', 0, 1, u32(0))) },
      'down body.reset',
      /./,
    ],
    [
      'floods with PRIORITY',
      { asked: flood(nothing, frame('priority', 0, 1, Buffer.alloc(5))) },
      'down http.protocol',
      /./,
    ],
    [
      'floods with WINDOW_UPDATE of the stream',
      { asked: flood(nothing, frame('windowUpdate', 0, 1, u32(1))) },
      'down http.protocol',
      /giving up/,
    ],
    [
      'floods with frames that nobody knows',
      { asked: flood(nothing, frame(0xee, 0, 0, 'x'.repeat(100))) },
      'down http.protocol',
      /giving up|not HTTP/,
    ],
    [
      'floods with ALTSVC',
      { asked: flood(nothing, frame('altsvc', 0, 0, Buffer.from('\0\x0bhttps://a.bh2=":1"'))) },
      'down http.protocol',
      /control frames|giving up/,
    ],
    [
      'floods with empty DATA',
      { asked: flood(answer, frame('data', 0, 1)) },
      'down http.protocol',
      /says? nothing|giving up/,
    ],
    [
      'floods with padding',
      { asked: flood(answer, frame('data', 8, 1, Buffer.concat([Buffer.from([255]), Buffer.alloc(255)]))) },
      'down http.protocol',
      /giving up/,
    ],
    [
      'floods with CONTINUATION',
      { asked: flood(frame('headers', 0, 1, status200), frame('continuation', 0, 1, field('x-a', 'b'))) },
      'down http.protocol',
      /./,
    ],
    [
      'floods with empty CONTINUATION',
      { asked: flood(frame('headers', 0, 1, status200), frame('continuation', 0, 1)) },
      'down http.protocol',
      /./,
    ],
    [
      'floods with informational answers',
      { asked: flood(nothing, frame('headers', endHeaders, 1, field(':status', '103'))) },
      'down http.protocol',
      /informational/,
    ],
    [
      'has 160 KiB of headers',
      {
        asked: (s) =>
          s.write(
            Buffer.concat([
              frame('headers', 0, 1, status200),
              ...Array.from({ length: 10 }, (_, at) =>
                frame('continuation', at === 9 ? endHeaders : 0, 1, big),
              ),
            ]),
          ),
      },
      'down http.protocol',
      /headers|not HTTP/,
    ],
    [
      'has two headers of 40 KiB, before it has acknowledged the cap',
      {
        asked: (s) => {
          const block = Buffer.concat([status200, longField('x-a', 40_000), longField('x-b', 40_000)]);
          const parts = Array.from({ length: 5 }, (_, at) => block.subarray(at * 16_384, (at + 1) * 16_384));
          for (const [at, part] of parts.entries())
            s.write(frame(at === 0 ? 'headers' : 'continuation', at === 4 ? endHeaders : 0, 1, part));
        },
      },
      'down http.protocol',
      /64 KiB of headers/,
    ],
    [
      'has a header bomb',
      {
        asked: (s) =>
          s.write(
            frame(
              'headers',
              endHeaders | endStream,
              1,
              Buffer.concat([
                status200,
                Buffer.concat([Buffer.from([0x40]), field('x-a', 'b'.repeat(3000)).subarray(1)]),
                Buffer.alloc(10_000, 0xbe),
              ]),
            ),
          ),
      },
      'down http.protocol',
      /headers/,
    ],
    [
      'has endless trailers',
      {
        asked: flood(
          Buffer.concat([
            answer,
            frame('data', 0, 1, 'hi'),
            frame('headers', endStream, 1, field('x-a', 'b')),
          ]),
          frame('continuation', 0, 1, field('x-a', 'b')),
        ),
      },
      'down http.protocol',
      /./,
    ],
    [
      'drips a frame',
      {
        asked: (s) => {
          const bytes = frame('headers', endHeaders, 1, Buffer.concat([status200, big]));
          let next = 0;
          const timer = setInterval(() => s.write(bytes.subarray(next, ++next)), 10);
          s.once('close', () => clearInterval(timer));
        },
      },
      'down wait.timeout',
      /./,
    ],
  ])('a server that %s', async (_, liar, expected, says) => {
    const server = await startHttp2Liar(pair, liar);
    onTestFinished(() => server.close());
    const seen = await check(server.url, { timeoutMs: 1500 });
    expect(told(seen), seen.failure?.message).toBe(expected);
    expect(seen.failure?.message ?? '').toMatch(says);
    expect(seen.timings.total).toBeLessThan(2_500_000);
    expect(Buffer.byteLength(seen.failure?.message ?? '')).toBeLessThanOrEqual(200);
  });

  test('whatever comes, it ends in a code of its own and in time', async () => {
    const frames = fc.array(
      fc.record({
        type: fc.oneof(fc.integer({ min: 0, max: 10 }), fc.integer({ min: 0, max: 255 })),
        flags: fc.oneof(fc.constantFrom(0, 1, 4, 5, 8, 32), fc.integer({ min: 0, max: 255 })),
        stream: fc.constantFrom(0, 1, 2, 3, 0x7fffffff),
        payload: fc.oneof(
          fc.uint8Array({ maxLength: 40 }),
          fc.constantFrom(status200, u32(0), u32(1, 0), field('x-a', 'b'), field(':status', '204')),
        ),
      }),
      { maxLength: 8 },
    );
    let send: readonly Buffer[] = [];
    const server = await startHttp2Liar(pair, {
      asked(socket) {
        for (const each of send) socket.write(each);
        socket.end();
      },
    });
    onTestFinished(() => server.close());
    const known = /^(up|degraded|down (http\.protocol|request\.reset|body\.reset|expect\.status))$/;
    await fc.assert(
      fc.asyncProperty(frames, async (sent) => {
        send = sent.map(({ type, flags, stream, payload }) =>
          frame(type, flags, stream, Buffer.from(payload)),
        );
        const seen = await check(server.url, { timeoutMs: 5000 });
        expect(told(seen), seen.failure?.message).toMatch(known);
        expect(seen.failure?.source ?? 'target').toBe('target');
      }),
      { numRuns: 150 },
    );
  });

  test('a body that cannot be sent, since the window stays shut, waits until the deadline', async () => {
    const server = await startHttp2Liar(pair, {
      opened: (socket) => socket.write(frame('settings', 0, 0, Buffer.concat([Buffer.from([0, 4]), u32(0)]))),
    });
    onTestFinished(() => server.close());
    const seen = await check(server.url, { ...quick, request: { method: 'POST', body: 'x'.repeat(1000) } });
    expect(told(seen)).toBe('down wait.timeout');
  });
});
