import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { WebSocketServer } from 'ws';
import * as z from 'zod';
import type { Checker } from '../../../probe/checks/check.ts';
import { createFrameReader, type Received } from '../../../probe/checks/ws-frames.ts';
import type { Assignment } from '../../../shared/assignment.ts';
import { endpointSchemas } from '../../../shared/endpoint.ts';
import type { Evidence } from '../../../shared/evidence.ts';
import type { Observation } from '../../../shared/result.ts';
import { issue } from './certificates.ts';
import { frame, lyingWebSocket, reasonsOfLies } from './lying-websocket.ts';
import { assignmentOf, checkOnce, policyOf, startChecker } from './scene.ts';
import { type RawServer, startRawServer } from './servers.ts';

let checker: Checker;
let real: WebSocketServer;
let base: string;

beforeAll(async () => {
  checker = await startChecker();
  real = new WebSocketServer({
    port: 0,
    host: '127.0.0.1',
    handleProtocols: (protocols) => (protocols.has('chat') ? 'chat' : false),
    perMessageDeflate: { threshold: 0 },
  });
  real.on('connection', (socket, request) => {
    if (request.url === '/greets') socket.send('hello 42');
    if (request.url === '/closes') socket.close(4001, 'go away');
    if (request.url === '/pings') socket.ping('are you there', undefined, () => undefined);
    socket.on('pong', (data) => socket.send(`pong ${data}`));
    socket.on('message', (data, binary) => {
      if (request.url === '/many') for (let n = 0; n < 5; n += 1) socket.send(`number ${n}`);
      else if (request.url === '/slow') setTimeout(() => socket.send(data, { binary }), 30);
      else socket.send(data, { binary });
    });
  });
  await once(real, 'listening');
  base = `ws://127.0.0.1:${(real.address() as AddressInfo).port}`;
});
afterAll(async () => {
  await checker.close();
  for (const client of real.clients) client.terminate();
  real.close();
});

const summary = ({ outcome, failure }: Observation) => `${outcome} ${failure?.code ?? ''}`.trim();

describe('a real server', () => {
  test.each<[path: string, request: object, expected: object, summary: string]>([
    ['/', {}, {}, 'up'],
    ['/', { steps: [{ send: 'a', expect: 'a' }] }, {}, 'up'],
    ['/', { steps: [{ send: 'a1', expect: '^a[0-9]$' }] }, {}, 'up'],
    ['/', { steps: [{ sendHex: '00ff', expectHex: '00ff' }] }, {}, 'up'],
    ['/', { steps: [{ send: 'a', expect: 'b' }] }, {}, 'down expect.response'],
    ['/', { steps: [{ expect: 'b' }] }, {}, 'down body.timeout'],
    ['/greets', { steps: [{ expect: 'hello (42|43)' }] }, {}, 'up'],
    ['/many', { steps: [{ send: 'go', expect: 'number 3' }, { expect: 'number 4' }] }, {}, 'up'],
    ['/pings', { steps: [{ expect: 'pong are you there' }] }, {}, 'up'],
    ['/closes', {}, { closeCode: 4001 }, 'up'],
    ['/closes', {}, { closeCode: 1000 }, 'down expect.response'],
    ['/closes', { steps: [{ send: 'a', expect: 'a' }] }, {}, 'down expect.response'],
    ['/', { closeWith: 3001 }, { closeCode: 3001 }, 'up'],
    ['/', { closeWith: 1000 }, {}, 'up'],
    ['/', { subprotocols: ['news', 'chat'] }, { subprotocol: 'chat' }, 'up'],
    ['/', { subprotocols: ['news'] }, {}, 'up'],
    ['/', { subprotocols: ['news'] }, { subprotocol: 'news' }, 'down expect.header'],
    [
      '/',
      {
        compression: 'deflate',
        steps: [
          { send: 'aaaa', expect: 'aaaa' },
          { send: 'aaaa', expect: 'aaaa' },
        ],
      },
      {},
      'up',
    ],
    ['/', {}, { status: ['401'] }, 'down expect.status'],
    ['/', {}, { headers: [{ name: 'upgrade', matches: 'websocket' }] }, 'up'],
    ['/', {}, { headers: [{ name: 'upgrade', matches: '^web[a-f]' }] }, 'down expect.header'],
    ['/slow', { steps: [{ send: 'a', expect: 'a' }] }, { slowerThan: '20ms' }, 'degraded'],
  ])('%s asked %j and expecting %j is %s', async (path, request, expected, said) => {
    const seen = await checkOnce(checker, `${base}${path}`, { request, expect: expected, timeoutMs: 700 });
    expect(`${summary(seen)}`, JSON.stringify(seen)).toBe(said);
  });
});

describe('servers that lie', () => {
  let server: RawServer;
  beforeAll(async () => {
    server = await startRawServer((socket, asked) => lyingWebSocket[asked.path]?.[0](socket, asked));
  });
  afterAll(() => server.close());

  test.each(Object.entries(lyingWebSocket).map(([path, [, said]]) => [path, said] as const))(
    '%s is %s',
    async (path, said) => {
      const began = performance.now();
      const seen = await checkOnce(checker, `ws://127.0.0.1:${server.port}${path}`, {
        request: { steps: [{ expect: 'ok' }], compression: path.startsWith('/deflate') ? 'deflate' : 'none' },
        timeoutMs: path.startsWith('/flood') ? 5000 : 400,
      });
      expect(summary(seen), JSON.stringify(seen)).toBe(said);
      expect(seen.failure?.message ?? '').toMatch(reasonsOfLies[path] ?? /^/);
      expect(performance.now() - began).toBeLessThan(path.startsWith('/flood') ? 5000 : 1200);
      expect(seen.timings.transfer === null).toBe(
        /status|wait|request|http/.test(said) || seen.facts === null,
      );
    },
  );

  test('a step takes what came before it, in order, and says when it ended', async () => {
    const steps = [{ expect: 'o' }, { send: 'x' }];
    const seen = await checkOnce(checker, `ws://127.0.0.1:${server.port}/ok`, { request: { steps } });
    expect(summary(seen)).toBe('up');
    expect(seen.facts?.stepsMs).toHaveLength(2);
    expect(seen).toMatchObject({ status: 101, httpVersion: '1.1', bytes: 4 });
  });

  test('the time of patterns is no time of the server, and has a bound of its own', async () => {
    const fresh = await startChecker();
    const url = `ws://127.0.0.1:${server.port}`;
    // The thread that matches has yet to start, which alone takes longer than the deadline.
    const wish = { request: { steps: [{ expect: 'o[jk]' }] }, timeoutMs: 100 };
    const seen = await checkOnce(fresh, `${url}/ok`, wish);
    expect(summary(seen)).toBe('up');
    expect(seen.timings.total).toBeLessThan(100_000);
    const wild = { pattern: '^(n|nn)+o$', engine: 'ecmascript' };
    const slow = await checkOnce(fresh, `${url}/wild`, { ...wish, request: { steps: [{ expect: wild }] } });
    expect(summary(slow)).toBe('skipped probe.saturated');
    await fresh.close();
  });

  test("a server's close is told with its reason", async () => {
    const seen = await checkOnce(checker, `ws://127.0.0.1:${server.port}/close`, {
      expect: { closeCode: 1011 },
    });
    expect(summary(seen)).toBe('up');
    expect(seen.facts).toMatchObject({ closeCode: 1011, closeReason: 'boom' });
  });

  test('a status that is expected is no upgrade, and up', async () => {
    const url = `ws://127.0.0.1:${server.port}/401`;
    const seen = await checkOnce(checker, url, { expect: { status: [401] } });
    expect(summary(seen)).toBe('up');
    expect(seen.status).toBe(401);
  });

  test('what is asked is what was written, its secrets from this probe', async () => {
    const seen = await checkOnce(checker, `ws://127.0.0.1:${server.port}/ok?room=1`, {
      request: {
        headers: { Origin: 'https://shop.example', Host: 'shop.example' },
        bearer: '$' + '{probe:SECRET}',
        subprotocols: ['a', 'b'],
      },
    });
    // The path has a query string, of which the table knows nothing: nothing was answered.
    expect(summary(seen)).toBe('down wait.timeout');
    const asked = server.asked.at(-1);
    expect(asked).toMatchObject({
      method: 'GET',
      path: '/ok?room=1',
      headers: {
        host: 'shop.example',
        origin: 'https://shop.example',
        authorization: 'Bearer s3cret',
        upgrade: 'websocket',
        connection: 'upgrade',
        'sec-websocket-version': '13',
        'sec-websocket-protocol': 'a, b',
      },
    });
    expect(Buffer.from(asked?.headers['sec-websocket-key'] ?? '', 'base64')).toHaveLength(16);
    expect(asked?.headers['sec-websocket-extensions']).toBeUndefined();
  });
});

describe('what is told of a failure', () => {
  test('the handshake as it was sent and answered; where it is asked for, a traceparent goes along', async () => {
    const server = await startRawServer((socket, asked) => lyingWebSocket[asked.path]?.[0](socket, asked));
    const wish = { request: { bearer: 'hidden', headers: { Origin: 'https://shop.example' } } };
    const assignment = {
      ...assignmentOf(`ws://127.0.0.1:${server.port}/401`, wish),
      evidence: { body: false, trace: true, sealed: [] },
    } as Assignment;
    const seen = await checker.check(assignment, new AbortController().signal, { unless: null });
    const evidence = JSON.parse(seen.evidence ?? '{}') as Evidence;
    expect(evidence.response?.status).toBe(401);
    expect(new Map(evidence.request?.headers).get('Origin')).toBe('https://shop.example');
    expect(seen.evidence).not.toContain('hidden');
    const { traceparent = '' } = server.asked[0]?.headers ?? {};
    expect(traceparent).toMatch(/^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/);
    expect(evidence.traceId).toBe(traceparent.slice(3, 35));
    await server.close();
  });
});

describe('over TLS', () => {
  test('wss is ws behind a handshake, and a certificate ends it', async () => {
    const authority = await issue({ name: 'Test authority', ca: true });
    const pair = await issue({ dns: ['localhost'], ips: ['127.0.0.1'] }, authority);
    const server = await startRawServer((socket, asked) => lyingWebSocket[asked.path]?.[0](socket, asked), {
      tls: { cert: pair.cert, key: pair.key },
    });
    const url = `wss://127.0.0.1:${server.port}/ok`;
    const steps = [{ expect: 'ok' }];
    const seen = await checkOnce(checker, url, { request: { steps, tls: { ca: authority.cert } } });
    expect(summary(seen)).toBe('up');
    expect(seen.tls?.version).toBe('TLSv1.3');
    expect(seen.timings.tls).toBeGreaterThan(0);
    expect(summary(await checkOnce(checker, url, { request: { steps } }))).toBe('down tls.untrusted');
    const late = { request: { steps, tls: { ca: authority.cert } }, expect: { certDays: 400 } };
    expect(summary(await checkOnce(checker, url, late))).toBe('degraded expect.cert');
    await server.close();
  });
});

describe('target safety', () => {
  test.each<[url: string, request: object]>([
    ['ws://10.1.2.3/', {}],
    ['wss://169.254.169.254/', {}],
    ['ws://[::ffff:127.0.0.1]/', {}],
    ['ws://localhost/', {}],
    ['wss://shop.example/', { resolveTo: '127.0.0.1' }],
    ['wss://shop.example/', { resolveTo: '169.254.169.254' }],
    ['wss://hub.parallax.test:8443/', {}],
    ['wss://203.0.113.1:8443/', { headers: { Host: 'hub.parallax.test:8443' } }],
    ['wss://203.0.113.1:8443/', { serverName: 'hub.parallax.test' }],
  ])('%s asked %j is never dialled', async (url, request) => {
    let dialled = 0;
    const strict = await startChecker({
      policy: policyOf(),
      openSocket: () => {
        dialled += 1;
        throw new Error('dialled');
      },
    });
    expect(summary(await checkOnce(strict, url, { request }))).toBe('skipped policy.blocked');
    expect(dialled).toBe(0);
    await strict.close();
  });
});

describe('the document', () => {
  const read = (request: object, expected: object = {}, url = 'wss://shop.example/live') =>
    endpointSchemas.ws.safeParse({ name: 'a', url, request, expect: expected }).success;
  test.each<[object, object, boolean]>([
    [{ steps: [{ send: 'a', expect: 'b' }] }, {}, true],
    [{ steps: [{}] }, {}, false],
    [{ steps: [{ send: 'a', sendHex: '00' }] }, {}, false],
    [{ steps: [{ expect: 'a', expectHex: '00' }] }, {}, false],
    [{ steps: [{ sendHex: '0' }] }, {}, false],
    [{ steps: [{ sendHex: 'zz' }] }, {}, false],
    [{ steps: [{ expectHex: '' }] }, {}, false],
    [{ steps: [{ expect: '(?=a)' }] }, {}, false],
    [{ steps: Array.from({ length: 21 }, () => ({ send: 'a' })) }, {}, false],
    [{ headers: { 'Sec-WebSocket-Key': 'a' } }, {}, false],
    [{ headers: { Upgrade: 'a' } }, {}, false],
    [{ bearer: 'a', basicAuth: { username: 'a', password: 'b' } }, {}, false],
    [{ subprotocols: ['a b'] }, {}, false],
    [{ subprotocols: ['a'] }, { subprotocol: 'a' }, true],
    [{ subprotocols: ['a'] }, { subprotocol: 'b' }, false],
    [{ closeWith: 1000 }, {}, true],
    [{ closeWith: 1001 }, {}, false],
    [{ closeWith: 5000 }, {}, false],
    [{}, { status: ['401', '4xx'] }, true],
    [{ steps: [{ send: 'a' }] }, { status: ['401'] }, false],
    [{ steps: [{ send: 'a' }] }, { status: ['100-199'] }, true],
    [{ closeWith: 1000 }, { status: ['2xx'] }, false],
    [{}, { closeCode: 1000, status: ['2xx'] }, false],
    [{}, { maxMessageBytes: '2MiB' }, false],
    [{ tls: { key: '$' + '{probe:KEY}' } }, {}, false],
  ])('%j %j', (request, expected, good) => expect(read(request, expected)).toBe(good));

  test('what is meant is written again, and read as the same', () => {
    const data = endpointSchemas.ws.parse({
      name: 'a',
      url: 'wss://shop.example/live',
      request: { steps: [{ send: 'a', expect: '^b' }, { sendHex: '00' }], closeWith: 3000 },
      expect: { status: [101], closeCode: 3000, maxMessageBytes: '1KiB', slowerThan: '2s' },
    });
    const written = z.encode(endpointSchemas.ws, data);
    expect(written.expect).toMatchObject({ status: ['101'], maxMessageBytes: '1KiB', slowerThan: '2s' });
    expect(written.request?.steps?.[0]?.expect).toBe('^b');
    expect(endpointSchemas.ws.parse(written)).toEqual(data);
  });

  test('a fragment is no part of where a socket is', () => {
    expect(read({}, {}, 'ws://shop.example/#a')).toBe(false);
  });
});

describe('frames', () => {
  const limits = { maxMessageBytes: 4096, deflate: false };
  const readAll = (chunks: readonly Buffer[]): Received[] => {
    const reader = createFrameReader(limits);
    return chunks.flatMap((chunk) => reader.push(chunk));
  };
  const cut = (bytes: Buffer, sizes: readonly number[]): Buffer[] => {
    const chunks: Buffer[] = [];
    let at = 0;
    for (const size of sizes) {
      chunks.push(bytes.subarray(at, at + size));
      at += size;
    }
    return [...chunks, bytes.subarray(at)];
  };
  const sizes = fc.array(fc.integer({ min: 0, max: 40 }), { maxLength: 60 });

  test('however the bytes are cut, the messages are the same, for any messages in any fragments', () => {
    const parts = fc.array(fc.uint8Array({ maxLength: 200 }), { minLength: 1, maxLength: 5 });
    const messages = fc.array(parts, { minLength: 1, maxLength: 6 });
    fc.assert(
      fc.property(messages, sizes, (all, at) => {
        const bytes = all.flatMap((each) =>
          each.flatMap((part, index) => [
            frame({
              fin: index === each.length - 1,
              opcode: index === 0 ? 2 : 0,
              data: Buffer.from(part),
            }),
            frame({ opcode: 9, data: Buffer.from(part).subarray(0, 20) }),
          ]),
        );
        const heard = readAll(cut(Buffer.concat(bytes), at));
        const read = heard.flatMap((one) => (one.kind === 'message' ? [one.data.toString('hex')] : []));
        expect(read).toEqual(all.map((each) => Buffer.concat(each).toString('hex')));
        expect(heard.filter(({ kind }) => kind === 'ping')).toHaveLength(all.flat().length);
      }),
    );
  });

  test('any bytes at all, cut anyhow, are heard in the same way and end at most once', () => {
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 300 }),
      // Heads that are right more often than not.
      fc
        .array(fc.tuple(fc.constantFrom(1, 2, 0x81, 0x82, 0x80, 0, 0x89, 0x88), fc.nat({ max: 8 })), {
          maxLength: 20,
        })
        .map((heads) =>
          Buffer.concat(
            heads.map(([first, length]) =>
              Buffer.concat([Buffer.from([first, length]), Buffer.alloc(length, 3)]),
            ),
          ),
        ),
    );
    fc.assert(
      fc.property(bytes, sizes, (raw, at) => {
        const whole = readAll([Buffer.from(raw)]);
        expect(readAll(cut(Buffer.from(raw), at))).toEqual(whole);
        const last = whole.findIndex(
          ({ kind }) => kind === 'invalid' || kind === 'close' || kind === 'too large',
        );
        if (last >= 0) expect(last).toBe(whole.length - 1);
      }),
    );
  });
});
