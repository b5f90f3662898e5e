import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type Http2Server, type IncomingHttpHeaders, type ServerHttp2Stream } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import * as z from 'zod';
import { freePort } from '../../../hub/process/port.ts';
import type { Checker } from '../../../probe/checks/check.ts';
import { healthRequest, readHealth } from '../../../probe/checks/grpc-health.ts';
import type { Assignment } from '../../../shared/assignment.ts';
import { endpointSchemas } from '../../../shared/endpoint.ts';
import type { Evidence } from '../../../shared/evidence.ts';
import type { Observation } from '../../../shared/result.ts';
import { type RealServer, realServer, serverMissing } from '../../harness/real-server.ts';
import { issue } from './certificates.ts';
import { assignmentOf, checkOnce, policyOf, startChecker } from './scene.ts';
import { type RawServer, startRawServer } from './servers.ts';

const python = '/usr/bin/python3';
const real = hasGrpc() ? true : serverMissing('gRPC server', 'python3-grpcio');

function hasGrpc(): boolean {
  try {
    execFileSync(python, ['-c', 'import grpc'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

let checker: Checker;
beforeAll(async () => {
  checker = await startChecker();
});
afterAll(() => checker.close());

const summary = ({ outcome, failure }: Observation) => `${outcome} ${failure?.code ?? ''}`.trim();

describe.skipIf(!real)('a real server: gRPC on its C core', () => {
  let server: RealServer;
  let folder: string;
  let base: string;
  let secureBase: string;
  let ca: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'parallax-grpc-'));
    const authority = await issue({ name: 'Test authority', ca: true });
    const pair = await issue({ dns: ['localhost'], ips: ['127.0.0.1'] }, authority);
    ca = authority.cert;
    const [cert, key] = [join(folder, 'cert.pem'), join(folder, 'key.pem')];
    await writeFile(cert, pair.cert);
    await writeFile(key, pair.key);
    const [port, tlsPort] = [await freePort(), await freePort()];
    server = await realServer({
      command: python,
      args: [join(import.meta.dirname, 'grpc-health-server.py'), `${port}`, `${tlsPort}`, cert, key],
      port,
      ready: (_, output) => output.includes('serving'),
    });
    base = `grpc://127.0.0.1:${port}`;
    secureBase = `grpcs://127.0.0.1:${tlsPort}`;
  });
  afterAll(async () => {
    await server?.stop();
    await rm(folder, { recursive: true, force: true });
  });

  test.each<[path: string, request: object, expected: object, summary: string, health: string | undefined]>([
    ['', {}, {}, 'up', 'SERVING'],
    ['/', {}, {}, 'up', 'SERVING'],
    ['/shop', {}, {}, 'up', 'SERVING'],
    ['', { service: 'shop' }, {}, 'up', 'SERVING'],
    ['/ill', {}, {}, 'down expect.health', 'NOT_SERVING'],
    ['/ill', {}, { status: ['SERVING', 'NOT_SERVING'] }, 'up', 'NOT_SERVING'],
    ['/unknown', {}, {}, 'down expect.health', 'SERVICE_UNKNOWN'],
    ['/odd', {}, {}, 'down expect.health', '7'],
    ['/none', {}, {}, 'down expect.status', undefined],
    ['/none', {}, { grpcStatus: ['NOT_FOUND'] }, 'up', undefined],
    ['/none', {}, { grpcStatus: [0, 5] }, 'up', undefined],
    ['/private', {}, {}, 'down expect.status', undefined],
    ['/private', { metadata: { authorization: 'Bearer $' + '{probe:SECRET}' } }, {}, 'up', 'SERVING'],
    [
      '/private',
      { metadata: { authorization: 'Bearer $' + '{probe:NONE}' } },
      {},
      'skipped probe.internal',
      undefined,
    ],
    ['/slow', {}, { slowerThan: '50ms' }, 'degraded', 'SERVING'],
  ])('%s asked %j and expecting %j is %s', async (path, request, expected, said, health) => {
    for (const [origin, more] of [
      [base, {}],
      [secureBase, { tls: { ca } }],
    ] as const) {
      const seen = await checkOnce(checker, `${origin}${path}`, {
        request: { ...request, ...more },
        expect: expected,
      });
      expect(summary(seen), JSON.stringify(seen)).toBe(said);
      expect(seen.facts?.health).toBe(health);
      expect(seen.tls === null).toBe(origin === base || said.startsWith('skipped'));
    }
  });

  test('phases, status, message and version are told', async () => {
    const seen = await checkOnce(checker, `${secureBase}/private`, { request: { tls: { ca } } });
    expect(seen).toMatchObject({
      status: 16,
      httpVersion: '2',
      facts: { grpcStatus: 'UNAUTHENTICATED', message: 'who are you? \u2603' },
    });
    expect(seen.failure?.message).toBe('gRPC status UNAUTHENTICATED, expected OK');
    const { connect, tls, wait, transfer, total } = seen.timings;
    for (const us of [connect, tls, wait, transfer]) expect(us).toBeGreaterThanOrEqual(0);
    expect(total).toBeGreaterThanOrEqual((connect ?? 0) + (tls ?? 0) + (wait ?? 0) + (transfer ?? 0));
  });

  test('the server is told the deadline', async () => {
    const seen = await checkOnce(checker, `${base}/deadline`, { timeoutMs: 5000 });
    expect(Number(seen.facts?.message)).toBeGreaterThan(4);
    expect(Number(seen.facts?.message)).toBeLessThanOrEqual(5);
  });

  test('a certificate that is not trusted ends it before a byte is sent', async () => {
    expect(summary(await checkOnce(checker, secureBase))).toBe('down tls.untrusted');
    expect(summary(await checkOnce(checker, secureBase, { request: { tls: { verify: false } } }))).toBe('up');
  });

  test('plain where TLS is served, and TLS where plain is', async () => {
    const plain = await checkOnce(checker, secureBase.replace('grpcs', 'grpc'), { timeoutMs: 1000 });
    expect(summary(plain)).toMatch(/^down (request\.reset|http\.protocol)$/);
    const secure = await checkOnce(checker, base.replace('grpc', 'grpcs'), { timeoutMs: 1000 });
    expect(summary(secure)).toBe('down tls.handshake');
  });
});

const head = { ':status': 200, 'content-type': 'application/grpc' } as const;
const message = (body: Buffer, flag = 0) => {
  const prefix = Buffer.alloc(5);
  prefix[0] = flag;
  prefix.writeUInt32BE(body.length, 1);
  return Buffer.concat([prefix, body]);
};
const serving = Buffer.from([8, 1]);
/** A whole answer. */
const answers =
  (body: Buffer, trailers: Record<string, string> = { 'grpc-status': '0' }, fields: object = head) =>
  (stream: ServerHttp2Stream) => {
    stream.respond({ ...fields }, { waitForTrailers: true });
    stream.once('wantTrailers', () => stream.sendTrailers(trailers));
    stream.end(body);
  };

const lies: Readonly<Record<string, [(stream: ServerHttp2Stream) => void, string]>> = {
  honest: [answers(message(serving)), 'up'],
  'with a type of its own': [
    answers(message(serving), undefined, { ...head, 'content-type': 'application/grpc+proto' }),
    'up',
  ],
  'with a field more': [answers(message(Buffer.from([18, 2, 65, 66, 8, 1]))), 'up'],
  'empty message': [answers(message(Buffer.alloc(0))), 'down expect.health'],
  'trailers alone': [
    (stream) =>
      stream.respond({ ...head, 'grpc-status': '12', 'grpc-message': 'no%20such' }, { endStream: true }),
    'down expect.status',
  ],
  'trailers alone, saying OK': [
    (stream) => stream.respond({ ...head, 'grpc-status': '0' }, { endStream: true }),
    'down protocol.invalid',
  ],
  'no status': [answers(message(serving), { 'x-other': '1' }), 'down protocol.invalid'],
  'no trailers': [
    (stream) => {
      stream.respond(head);
      stream.end(message(serving));
    },
    'down protocol.invalid',
  ],
  'a status that is no number': [
    answers(message(serving), { 'grpc-status': 'fine' }),
    'down protocol.invalid',
  ],
  'a status that nobody knows': [answers(Buffer.alloc(0), { 'grpc-status': '99' }), 'down expect.status'],
  'status in the head, another in the trailers': [
    answers(message(serving), { 'grpc-status': '13' }, { ...head, 'grpc-status': '0' }),
    'down expect.status',
  ],
  'a page': [
    (stream) => {
      stream.respond({ ':status': 200, 'content-type': 'text/html' });
      stream.end('<html>');
    },
    'down protocol.invalid',
  ],
  'bad gateway': [
    (stream) => {
      stream.respond({ ':status': 502, 'content-type': 'text/html' });
      stream.end('<html>');
    },
    'down protocol.invalid',
  ],
  compressed: [answers(message(serving, 1)), 'down protocol.invalid'],
  'two messages': [answers(Buffer.concat([message(serving), message(serving)])), 'down protocol.invalid'],
  'half a prefix': [answers(Buffer.from([0, 0, 0])), 'down protocol.invalid'],
  'half a message': [answers(message(serving).subarray(0, 6)), 'down protocol.invalid'],
  'a message of 4 GiB': [answers(Buffer.from([0, 255, 255, 255, 255, 8, 1])), 'down protocol.invalid'],
  'garbage in the message': [answers(message(Buffer.from([255, 255, 255]))), 'down protocol.invalid'],
  'more than a health answer': [answers(message(Buffer.alloc(100_000))), 'down body.too_large'],
  'without an end': [
    (stream) => {
      stream.respond(head);
      const more = () => {
        while (!stream.destroyed && stream.write(Buffer.alloc(16_384)));
      };
      stream.on('drain', more);
      more();
    },
    'down body.too_large',
  ],
  'reset at once': [(stream) => stream.close(2), 'down request.reset'],
  'reset in the answer': [
    (stream) => {
      stream.respond(head);
      stream.write(message(serving));
      setTimeout(() => stream.destroy(new Error('enough')), 20);
    },
    'down body.reset',
  ],
  refused: [(stream) => stream.close(7), 'down request.reset'],
  'gone in order': [
    (stream) => {
      stream.session?.goaway(0, 0);
      answers(message(serving))(stream);
    },
    'up',
  ],
  'gone in anger': [(stream) => stream.session?.goaway(2, 0), 'down request.reset'],
  'connection closed': [(stream) => stream.session?.destroy(), 'down request.reset'],
  silent: [() => undefined, 'down wait.timeout'],
  'silent after its head': [(stream) => stream.respond(head), 'down body.timeout'],
  dripping: [
    (stream) => {
      stream.respond(head);
      const timer = setInterval(() => stream.write(Buffer.from([0])), 20);
      stream.once('close', () => clearInterval(timer));
    },
    'down body.timeout',
  ],
  'informing for ever': [
    (stream) => {
      for (let n = 0; n < 40; n += 1) stream.additionalHeaders({ ':status': 103, link: '</a>' });
    },
    'down http.protocol',
  ],
  'with a bomb of headers': [
    (stream) => stream.respond({ ...head, 'x-big': 'a'.repeat(60_000), 'x-too': 'b'.repeat(60_000) }),
    'down http.protocol',
  ],
};

/** What the failure says beside its code, so that each of them is for its own reason. */
const reasons: Readonly<Record<string, RegExp>> = {
  'no status': /without grpc-status/,
  'no trailers': /without grpc-status/,
  'a status that is no number': /no number/,
  'a page': /HTTP status 200/,
  'bad gateway': /HTTP status 502/,
  compressed: /compressed/,
  'two messages': /more than one/,
  'half a prefix': /in its prefix/,
  'half a message': /shorter than/,
  'a message of 4 GiB': /shorter than/,
  'garbage in the message': /no HealthCheckResponse/,
  'trailers alone, saying OK': /OK without an answer/,
  'informing for ever': /informational/,
  'with a bomb of headers': /64 KiB of headers/,
  'more than a health answer': /4096 bytes/,
  'without an end': /4096 bytes/,
};

describe('servers that lie, by the authority they are asked for', () => {
  let server: Http2Server;
  let port: number;
  beforeAll(async () => {
    server = createServer({ maxSendHeaderBlockLength: 1_000_000 });
    server.on('stream', (stream, headers) => {
      stream.on('error', () => undefined);
      stream.session?.on('error', () => undefined);
      stream.resume();
      lies[Object.keys(lies)[Number(headers[':authority']?.slice(1))] ?? '']?.[0](stream);
    });
    server.on('sessionError', () => undefined);
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    port = (server.address() as AddressInfo).port;
  });
  afterAll(() => void server.close());

  test.each(Object.entries(lies).map(([name, [, said]], at) => [name, said, at] as const))(
    '%s is %s',
    async (name, said, at) => {
      const began = performance.now();
      const wish = { request: { authority: `c${at}` }, timeoutMs: 500 };
      const seen = await checkOnce(checker, `grpc://127.0.0.1:${port}`, wish);
      expect(summary(seen), JSON.stringify(seen)).toBe(said);
      expect(seen.failure?.message ?? '').toMatch(reasons[name] ?? /^/);
      expect(performance.now() - began).toBeLessThan(1500);
      expect(seen.httpVersion).toBe(/request|wait\.|http\.protocol/.test(said) ? null : '2');
    },
  );
});

describe('what is told of a failure', () => {
  test('the call as it was sent and answered; where it is asked for, a traceparent goes along', async () => {
    const server = createServer();
    let asked: IncomingHttpHeaders = {};
    server.on('stream', (stream, headers) => {
      asked = headers;
      stream.respond({ ':status': 503, 'content-type': 'text/plain', 'x-via': 'proxy' });
      stream.end('no');
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const wish = {
      request: { authority: 'shop.example', metadata: { 'x-token': 'hidden', 'x-tenant': 'one' } },
    };
    const assignment = {
      ...assignmentOf(`grpc://127.0.0.1:${port}/shop`, wish),
      evidence: { body: false, trace: true, sealed: [] },
    } as Assignment;
    const seen = await checker.check(assignment, new AbortController().signal, { unless: null });
    const evidence = JSON.parse(seen.evidence ?? '{}') as Evidence;
    expect(evidence.response).toMatchObject({ status: 503 });
    expect(new Map(evidence.response?.headers).get('x-via')).toBe('proxy');
    expect(new Map(evidence.request?.headers).get('host')).toBe('shop.example');
    expect(asked).toMatchObject({
      ':authority': 'shop.example',
      'x-token': 'hidden',
      'x-tenant': 'one',
      te: 'trailers',
    });
    expect(seen.evidence).not.toContain('hidden');
    expect(asked.traceparent).toMatch(/^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/);
    expect(evidence.traceId).toBe(String(asked.traceparent).slice(3, 35));
    server.close();
  });
});

describe('what answers is no HTTP/2', () => {
  const servers: RawServer[] = [];
  afterAll(() => Promise.all(servers.map((server) => server.close())));
  /** A frame of HTTP/2 (RFC 9113, section 4.1). */
  const frame = (type: number, flags: number, stream: number, payload: Buffer) => {
    const bytes = Buffer.alloc(9 + payload.length);
    bytes.writeUIntBE(payload.length, 0, 3);
    bytes[3] = type;
    bytes[4] = flags;
    bytes.writeUInt32BE(stream, 5);
    payload.copy(bytes, 9);
    return bytes;
  };
  const settings = frame(4, 0, 0, Buffer.alloc(0));
  const flood = (part: Buffer) => (socket: import('node:net').Socket) => {
    socket.write(settings);
    const many = Buffer.concat(Array.from({ length: 500 }, () => part));
    const more = () => {
      while (!socket.destroyed && socket.write(many));
    };
    socket.on('drain', more);
    more();
  };
  test.each<[string, (socket: import('node:net').Socket) => void, RegExp]>([
    ['HTTP/1.1', (socket) => void socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'), /^down http\.protocol$/],
    ['ssh', (socket) => void socket.write('SSH-2.0-OpenSSH_9.6\r\n'), /^down http\.protocol$/],
    ['nothing', () => undefined, /^down wait\.timeout$/],
    ['a close at once', (socket) => void socket.end(), /^down request\.reset$/],
    ['a reset at once', (socket) => void socket.resetAndDestroy(), /^down (request|connect)\.reset$/],
    ['settings alone', (socket) => void socket.write(settings), /^down wait\.timeout$/],
    ['a flood of pings', flood(frame(6, 0, 0, Buffer.alloc(8))), /^down http\.protocol$/],
    ['a flood of settings', flood(settings), /^down http\.protocol$/],
    ['a flood of windows', flood(frame(8, 0, 0, Buffer.from([0, 0, 0, 1]))), /^down http\.protocol$/],
    ['a flood of frames that nobody knows', flood(frame(99, 0, 0, Buffer.alloc(0))), /^down http\.protocol$/],
    [
      'a frame of 16 MiB',
      (socket) =>
        void socket.write(Buffer.concat([settings, Buffer.from([255, 255, 255, 0, 0, 0, 0, 0, 1])])),
      /^down http\.protocol$/,
    ],
  ])('%s', async (_name, greet, said) => {
    const server = await startRawServer(() => undefined, { greet });
    servers.push(server);
    const began = performance.now();
    const seen = await checkOnce(checker, `grpc://127.0.0.1:${server.port}`, { timeoutMs: 700 });
    expect(summary(seen), JSON.stringify(seen)).toMatch(said);
    expect(performance.now() - began).toBeLessThan(1500);
  });
});

describe('target safety', () => {
  test.each<[url: string, request: object]>([
    ['grpc://10.1.2.3:50051', {}],
    ['grpc://169.254.169.254:80', {}],
    ['grpcs://[::ffff:169.254.169.254]:443', {}],
    ['grpc://localhost:50051', {}],
    ['grpcs://shop.example', { resolveTo: '169.254.169.254' }],
    ['grpcs://shop.example', { resolveTo: '192.168.1.1' }],
    ['grpcs://hub.parallax.test:8443', {}],
    ['grpcs://203.0.113.1:8443', { authority: 'hub.parallax.test:8443' }],
    ['grpcs://203.0.113.1:8443', { serverName: 'hub.parallax.test' }],
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
  const read = (url: string, request: object = {}, expected: object = {}) =>
    endpointSchemas.grpc.safeParse({ name: 'a', url, request, expect: expected });
  test.each<[string, object, object, boolean]>([
    ['grpc://shop.example:50051', {}, {}, true],
    ['grpcs://shop.example/shop.v1.Orders', {}, {}, true],
    ['grpcs://shop.example/shop.v1.Orders', { service: 'shop.v1.Orders' }, {}, true],
    ['grpcs://shop.example/shop.v1.Orders', { service: 'other' }, {}, false],
    ['grpc://shop.example:50051?x=1', {}, {}, false],
    ['grpc://shop.example:50051#x', {}, {}, false],
    ['grpc://:50051', {}, {}, false],
    ['grpc:///shop', {}, {}, false],
    ['grpc://a_b%zz:1', {}, {}, false],
    ['grpc://u:p@shop.example', {}, {}, false],
    ['grpc://shop.example', { metadata: { 'grpc-timeout': '1S' } }, {}, false],
    ['grpc://shop.example', { metadata: { te: 'x' } }, {}, false],
    ['grpc://shop.example', { metadata: { ':path': 'x' } }, {}, false],
    ['grpc://shop.example', { metadata: { 'X-Upper': 'x' } }, {}, false],
    ['grpc://shop.example', { metadata: { a: 'line\r\nbreak' } }, {}, false],
    ['grpc://shop.example', {}, { grpcStatus: ['NOT_FOUND', 0] }, true],
    ['grpc://shop.example', {}, { grpcStatus: [17] }, false],
    ['grpc://shop.example', {}, { grpcStatus: ['FINE'] }, false],
    ['grpc://shop.example', {}, { status: ['FINE'] }, false],
    ['grpc://shop.example', { tls: { cert: '$' + '{probe:CERT}' } }, {}, false],
  ])('%s %j %j', (url, request, expected, good) => {
    expect(read(url, request, expected).success).toBe(good);
  });

  test('names of statuses are numbers inside, and names again where they are shown', () => {
    const { data } = read('grpc://shop.example', {}, { grpcStatus: ['NOT_FOUND', 0] });
    expect(data?.expect.grpcStatus).toEqual([5, 0]);
    if (!data) return;
    const written = z.encode(endpointSchemas.grpc, data);
    expect(written.expect?.grpcStatus).toEqual(['NOT_FOUND', 'OK']);
    expect(endpointSchemas.grpc.parse(written)).toEqual(data);
  });
});

describe('the two messages', () => {
  test('what is asked for stands in the request, for any name', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', maxLength: 300 }), (service) => {
        const bytes = healthRequest(service);
        expect(bytes[0]).toBe(0);
        expect(bytes.readUInt32BE(1)).toBe(bytes.length - 5);
        const name = Buffer.from(service);
        expect(bytes.subarray(bytes.length - name.length)).toEqual(name);
        if (name.length === 0) expect(bytes).toHaveLength(5);
      }),
    );
  });

  test('any bytes are a number or no message, and cost no more than their length', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
        const read = readHealth(Buffer.from(bytes));
        expect(read === null || Number.isInteger(read)).toBe(true);
      }),
    );
  });

  test.each<[number[], number | null]>([
    [[], 0],
    [[8, 1], 1],
    [[8, 1, 8, 2], 2],
    [[8, 0x81, 0x80, 0], 1],
    [[8], null],
    [[8, 0x80], null],
    [[0, 1], null],
    [[9, 0, 0, 0, 0, 0, 0, 0, 0, 8, 1], 1],
    [[13, 0, 0, 0, 0, 8, 1], 1],
    [[13, 0, 0], null],
    [[11, 12], null],
    [[18, 255, 255, 255, 255, 15], null],
    [[8, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1], -1],
    [[8, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1], null],
  ])('%j is %s', (bytes, expected) => expect(readHealth(Buffer.from(bytes))).toBe(expected));
});
