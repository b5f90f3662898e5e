// biome-ignore-all lint/suspicious/noTemplateCurlyInString: ${probe:NAME} is what endpoints hold
import { brotliCompressSync, deflateSync, gzipSync, zstdCompressSync } from 'node:zlib';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Checker } from '../../../probe/checks/check.ts';
import { renderEvidence } from '../../../probe/checks/render-evidence.ts';
import { newTrace } from '../../../probe/checks/trace.ts';
import type { Assignment } from '../../../shared/assignment.ts';
import { type Evidence, evidenceSchema, isEvidence, maxEvidenceBytes } from '../../../shared/evidence.ts';
import { type Issued, issue } from './certificates.ts';
import { assignmentOf, policyOf, startChecker, type Wish } from './scene.ts';
import { type Answer, type RawServer, startRawServer, whole } from './servers.ts';

const env = { SECRET: 's3cret-of-the-probe' };
let checker: Checker;
let authority: Issued;
const servers: RawServer[] = [];
const running = new AbortController().signal;

beforeAll(async () => {
  checker = await startChecker({ env });
  authority = await issue({ name: 'Test authority', ca: true });
});
afterAll(async () => {
  await checker.close();
  await Promise.all(servers.map((server) => server.close()));
});

async function serve(answer: Answer, options: Parameters<typeof startRawServer>[1] = {}): Promise<RawServer> {
  const server = await startRawServer(answer, options);
  servers.push(server);
  return server;
}

interface Asked extends Wish {
  readonly evidence?: Assignment['evidence'];
}

function assigned(url: string, { evidence, ...wish }: Asked = {}): Assignment {
  return { ...assignmentOf(url, wish), ...(evidence && { evidence }) } as Assignment;
}

async function evidenceOf(url: string, asked: Asked = {}): Promise<Evidence> {
  const { outcome, evidence } = await checker.check(assigned(url, asked), running, { unless: null });
  expect(outcome).toBe('down');
  expect(evidence).not.toBeNull();
  const text = evidence ?? '';
  expect(Buffer.byteLength(text)).toBeLessThanOrEqual(maxEvidenceBytes);
  expect(isEvidence(text)).toBe(true);
  // What is written is what is read: nothing gets lost on the way.
  expect(evidenceSchema.parse(JSON.parse(text))).toEqual(JSON.parse(text));
  return evidenceSchema.parse(JSON.parse(text));
}

const body = { body: true, trace: false, sealed: [] };
const broken: Answer = (socket) => {
  const head = ['x-request-id: 7', 'set-cookie: sid=abc', 'location: https://u:p@a.test/x?token=1'];
  socket.end(whole('it broke: fox & <hound>', head, '500 Internal Server Error'));
};

describe('what is told of a failure', () => {
  test('an answer that is not the expected one', async () => {
    const { port } = await serve(broken);
    const seen = await evidenceOf(`http://127.0.0.1:${port}/health?key=private&b=2`);
    expect(seen).toMatchObject({
      request: { method: 'GET', url: `http://127.0.0.1:${port}/health?key=•••&b=•••`, bodyBytes: 0 },
      response: { status: 500, body: null },
      address: `127.0.0.1:${port}`,
      addresses: [],
      certificates: [],
      phase: 'transfer',
      errno: null,
      traceId: null,
    });
    expect(seen.request?.headers).toContainEqual(['user-agent', 'Parallax/0.0.0']);
    expect(seen.request?.headers).toContainEqual(['host', `127.0.0.1:${port}`]);
    expect(seen.response?.headers).toContainEqual(['x-request-id', '7']);
    expect(seen.response?.headers).toContainEqual(['set-cookie', '•••']);
    expect(seen.response?.headers).toContainEqual(['location', 'https://•••@a.test/x?•••']);
  });

  test('a body is told only where the endpoint asks for it', async () => {
    const { port } = await serve(broken);
    const { response } = await evidenceOf(`http://127.0.0.1:${port}/`, { evidence: body });
    expect(response?.body).toBe('it broke: fox & <hound>');
  });

  test('a port where nobody listens', async () => {
    const server = await startRawServer(() => undefined);
    await server.close();
    expect(await evidenceOf(`http://localhost:${server.port}/`)).toMatchObject({
      request: null,
      response: null,
      addresses: ['127.0.0.1', '::1'],
      resolver: 'hosts file',
      address: `[::1]:${server.port}`,
      phase: 'connect',
      errno: 'ECONNREFUSED',
    });
  });

  test('a connection that is reset', async () => {
    const { port } = await serve((socket) => socket.resetAndDestroy());
    const seen = await evidenceOf(`http://127.0.0.1:${port}/`);
    expect(seen).toMatchObject({ errno: 'ECONNRESET', phase: 'wait', response: null });
    expect(seen.request).not.toBeNull();
  });

  test('silence', async () => {
    const { port } = await serve(() => undefined);
    const seen = await evidenceOf(`http://127.0.0.1:${port}/`, { timeoutMs: 200 });
    expect(seen).toMatchObject({ phase: 'wait', errno: null, response: null });
  });

  test('the chain of a certificate that is not trusted, as it was sent this time', async () => {
    const intermediate = await issue({ name: 'Test intermediate', ca: true }, authority);
    const leaf = await issue({ ips: ['127.0.0.1'], name: 'leaf' }, intermediate);
    const tls = { key: leaf.key, cert: `${leaf.cert}\n${intermediate.cert}` };
    const whole = await serve(broken, { tls });
    const trusting = { request: { tls: { ca: authority.cert } } };
    const good = await evidenceOf(`https://127.0.0.1:${whole.port}/`, trusting);
    expect(good.certificates.map(({ subject }) => subject)).toEqual([
      'CN=leaf',
      'CN=Test intermediate',
      'CN=Test authority',
    ]);
    expect(good.certificates[0]).toMatchObject({ issuer: 'CN=Test intermediate' });
    expect(good.certificates[0]?.notAfter).toBeGreaterThan(Date.now() / 1000);
    const alone = await serve(broken, { tls: { ...tls, cert: leaf.cert } });
    const missing = await evidenceOf(`https://127.0.0.1:${alone.port}/`, trusting);
    expect(missing).toMatchObject({ phase: 'tls', request: null });
    expect(missing.certificates.map(({ subject }) => subject)).toEqual(['CN=leaf']);
    expect(missing.certificates[0]?.sha256).toBe(good.certificates[0]?.sha256);
  });

  test('of several hops the last one', async () => {
    const { port } = await serve((socket, { path }) => {
      if (path === '/') socket.end(whole('', ['location: /next?ticket=7'], '302 Found'));
      else socket.resetAndDestroy();
    });
    const seen = await evidenceOf(`http://127.0.0.1:${port}/`, { evidence: body });
    expect(seen.request?.url).toBe(`http://127.0.0.1:${port}/next?ticket=•••`);
    expect(seen.response).toBeNull();
  });
});

describe('when', () => {
  test.each([
    ['nobody asked', null, 500],
    ['it is up', { unless: null }, 200],
    ['there is some of this code', { unless: 'expect.status' as const }, 500],
  ])('none where %s', async (_, wish, status) => {
    const { port } = await serve((socket) => socket.end(whole('x', [], `${status} So`)));
    const { evidence } = await checker.check(assigned(`http://127.0.0.1:${port}/`), running, wish);
    expect(evidence).toBeNull();
  });

  test('none of what is skipped', async () => {
    const guarded = await startChecker({ policy: policyOf() });
    const seen = await guarded.check(assigned('http://127.0.0.1:1/'), running, { unless: null });
    expect(seen).toMatchObject({ outcome: 'skipped', evidence: null });
    await guarded.close();
  });
});

describe('bodies', () => {
  const page = `<h1>Trouble</h1>${'lorem ipsum '.repeat(5000)}`;
  test.each<[string, Buffer]>([
    ['gzip', gzipSync(page)],
    ['deflate', deflateSync(page)],
    ['br', brotliCompressSync(page)],
    ['zstd', zstdCompressSync(page)],
  ])('the beginning of one in %s', async (coding, bytes) => {
    const { port } = await serve((socket) => {
      socket.write(
        `HTTP/1.1 500 Oh\r\ncontent-encoding: ${coding}\r\ncontent-length: ${bytes.length}\r\n\r\n`,
      );
      socket.end(bytes);
    });
    const { response } = await evidenceOf(`http://127.0.0.1:${port}/`, { evidence: body });
    expect(Buffer.byteLength(response?.body ?? '')).toBe(2048);
  });

  test('a coding that is a lie, or not known', async () => {
    const { port } = await serve((socket, { path }) => {
      const coding = path === '/lie' ? 'gzip' : 'compress';
      socket.end(whole('not compressed', [`content-encoding: ${coding}`], '500 Oh'));
    });
    const lie = await evidenceOf(`http://127.0.0.1:${port}/lie`, { evidence: body });
    expect(lie.response?.body).toBe('(14 bytes or more in the coding gzip)');
    const unknown = await evidenceOf(`http://127.0.0.1:${port}/unknown`, { evidence: body });
    expect(unknown.response?.body).toBe('(14 bytes or more in the coding compress)');
  });

  test('any bytes fit, and PostgreSQL takes them', async () => {
    const { port } = await serve((socket) => {
      socket.write('HTTP/1.1 500 Oh\r\ncontent-length: 9000\r\n\r\n');
      socket.end(Buffer.from(Array.from({ length: 9000 }, (_, at) => (at * 7) % 256)));
    });
    const { response } = await evidenceOf(`http://127.0.0.1:${port}/`, { evidence: body });
    expect(response?.body).not.toContain('\0');
    expect(response?.body?.isWellFormed()).toBe(true);
  });

  test('a good body is not kept beyond what is told', async () => {
    const { port } = await serve((socket) => socket.end(whole('y'.repeat(500_000), [], '500 Oh')));
    const { response } = await evidenceOf(`http://127.0.0.1:${port}/`, { evidence: body });
    expect(response?.body).toBe('y'.repeat(2048));
  });
});

describe('secrets', () => {
  const secrets = {
    header: 'header-value-4711',
    bearer: 'bearer-value-4712',
    probe: env.SECRET,
    body: 'body-value-4713',
    query: 'query-value-4714',
    accept: 'text/accept-value-4715',
  };
  /** Says back whatever it was told, in every place and form. */
  const echo: Answer = (socket, asked) => {
    const said = JSON.stringify({ ...asked.headers, body: asked.body, path: asked.path });
    const flat = said.replace(/[\r\n]/g, ' ');
    socket.end(
      whole(
        `${said} ${encodeURIComponent(said)}`,
        [`x-echo: ${flat}`, `etag: ${flat}`],
        '500 Internal Server Error',
      ),
    );
  };

  test('none stands in what is told, however a server repeats them', async () => {
    const { port } = await serve(echo);
    const seen = await evidenceOf(`http://127.0.0.1:${port}/?q=${secrets.query}`, {
      evidence: { ...body, sealed: ['accept'] },
      request: {
        method: 'POST',
        headers: {
          'X-Api-Key': secrets.header,
          'X-Custom': 'Name ${probe:SECRET}',
          Accept: secrets.accept,
          'User-Agent': 'agent ${probe:SECRET}',
          Cookie: `sid=${secrets.header}; theme=dark`,
        },
        bearer: secrets.bearer,
        body: `{"password":"${secrets.body}"}`,
      },
    });
    const text = JSON.stringify(seen);
    for (const secret of Object.values(secrets)) expect(text).not.toContain(secret);
    expect(seen.request?.headers).toContainEqual(['X-Api-Key', '•••']);
    expect(seen.request?.headers).toContainEqual(['authorization', '•••']);
    expect(seen.request?.headers).toContainEqual(['Accept', '•••']);
    expect(seen.response?.body).toContain('•••');
    expect(seen.request?.bodyBytes).toBeGreaterThan(20);
  });

  test('nor a password in base64, nor one that is cut off by the end', async () => {
    const long = 'p4'.repeat(400);
    const { port } = await serve((socket, { headers }) => {
      const fill = 'z'.repeat(4096 - 500);
      socket.end(whole(`${headers.authorization} ${fill}${long}`, [], '500 Oh'));
    });
    const { response } = await evidenceOf(`http://127.0.0.1:${port}/`, {
      evidence: body,
      request: { basicAuth: { username: 'ada', password: long } },
    });
    expect(response?.body).not.toContain('p4p4');
    expect(response?.body).not.toContain(Buffer.from(`ada:${long}`).toString('base64').slice(0, 30));
  });

  test('a large body and a large answer take no time', async () => {
    const words = Array.from({ length: 6000 }, (_, at) => `word-${at}`).join(' ');
    const { port } = await serve((socket) =>
      socket.end(whole(words, [`x-a: ${words.slice(0, 9000)}`], '500 Oh')),
    );
    const request = { method: 'POST', body: words.slice(0, 65_000), tls: { ca: authority.cert } };
    const trace = newTrace(body);
    await evidenceOf(`http://127.0.0.1:${port}/`, { evidence: body, request });
    trace.head = { status: 500, headers: Array.from({ length: 80 }, () => words.slice(0, 900)) };
    trace.body?.chunks.push(Buffer.from(words.slice(0, 4096)));
    if (trace.body) trace.body.bytes = 4096;
    const assignment = assignmentOf('http://a.test/', { request });
    const took = Array.from({ length: 5 }, () => {
      const began = performance.now();
      renderEvidence(trace, assignment, {});
      return performance.now() - began;
    });
    expect(Math.min(...took)).toBeLessThan(25);
  });

  test('whatever a server says, and whatever is secret, what is told can be stored', () => {
    fc.assert(
      fc.property(
        fc.array(fc.string({ unit: 'binary', maxLength: 400 }), { maxLength: 60 }),
        fc.uint8Array({ maxLength: 5000 }),
        fc.oneof(fc.string({ unit: 'binary', maxLength: 300 }), fc.constant('half a pair \ud800 of it')),
        (headers, bytes, secret) => {
          const trace = newTrace(body);
          trace.head = { status: 500, headers };
          const said = Buffer.concat([bytes.subarray(0, 500), Buffer.from(secret), bytes]);
          trace.body?.chunks.push(said);
          if (trace.body) trace.body.bytes = said.length;
          trace.request = { method: 'GET', url: new URL('http://a/?x=y'), headers, body: null };
          const assignment = assignmentOf('http://a.test/', { request: { body: secret } });
          const text = renderEvidence(trace, assignment, {});
          expect(isEvidence(text)).toBe(true);
          if (secret.length > 6 && secret.isWellFormed())
            expect(JSON.parse(text).response?.body ?? '').not.toContain(secret);
        },
      ),
    );
  });
});

describe('traceparent', () => {
  const traced = { body: false, trace: true, sealed: [] };

  test('a new one with each check, told in its facts', async () => {
    const server = await serve((socket) => socket.end(whole('x')));
    const assignment = assigned(`http://127.0.0.1:${server.port}/`, { evidence: traced });
    const first = await checker.check(assignment, running);
    const second = await checker.check(assignment, running);
    const sent = server.asked.map(({ headers }) => headers.traceparent ?? '');
    for (const one of sent) expect(one).toMatch(/^00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-01$/);
    expect(sent).toHaveLength(2);
    expect(sent.map((one) => one.slice(3, 35))).toEqual([first.facts?.traceId, second.facts?.traceId]);
    expect(first.facts?.traceId).not.toBe(second.facts?.traceId);
  });

  test('none where it is not asked for', async () => {
    const server = await serve((socket) => socket.end(whole('x')));
    const seen = await checker.check(assigned(`http://127.0.0.1:${server.port}/`), running);
    expect(server.asked[0]?.headers).not.toHaveProperty('traceparent');
    expect(seen.facts).toBeNull();
  });

  test('not to another origin', async () => {
    const stranger = await serve((socket) => socket.end(whole('x')));
    const server = await serve((socket) =>
      socket.end(whole('', [`location: http://127.0.0.1:${stranger.port}/`], '302 Found')),
    );
    await checker.check(assigned(`http://127.0.0.1:${server.port}/`, { evidence: traced }), running);
    expect(server.asked[0]?.headers).toHaveProperty('traceparent');
    expect(stranger.asked[0]?.headers).not.toHaveProperty('traceparent');
  });

  test('it stands in the evidence', async () => {
    const server = await serve(broken);
    const seen = await evidenceOf(`http://127.0.0.1:${server.port}/`, { evidence: traced });
    expect(server.asked[0]?.headers.traceparent?.slice(3, 35)).toBe(seen.traceId);
  });
});
