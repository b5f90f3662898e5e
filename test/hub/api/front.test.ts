import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { codeOf, type HubScene, startHubScene } from '../hub-scene.ts';
import { until } from '../ingest/until.ts';
import { bodyOf, sendRaw, statusOf } from './raw.ts';

let hub: HubScene;
beforeAll(async () => {
  hub = await startHubScene({ hosts: ['hub.test'] });
});
afterAll(() => hub.stop());

const get = (path: string, host: string, more = '') =>
  `GET ${path} HTTP/1.1\r\nHost: ${host}\r\n${more}Connection: close\r\n\r\n`;

describe('Host', () => {
  const cases: [host: string, status: number][] = [
    ['127.0.0.1', 401],
    ['127.0.0.1:1', 401],
    ['localhost:7070', 401],
    ['[::1]:7070', 401],
    ['hub.test', 401],
    ['HUB.test:443', 401],
    ['evil.example', 421],
    ['127.0.0.1.evil.example', 421],
    ['hub.test.evil.example', 421],
    ['hub.test@evil.example', 400],
    ['127.0.0.2', 421],
    ['192.0.2.1', 421],
    ['[::ffff:127.0.0.1]', 400],
  ];
  test.each(cases)('%s: %i', async (host, status) => {
    const { text } = await sendRaw(hub.port, [get('/api/v1/tokens', host)]);
    expect(statusOf(text)).toBe(status);
    expect(text).not.toContain('set-cookie');
    if (status === 421) expect(bodyOf(text).code).toBe('host.unknown');
  });

  test('the name in the request line does not go before the header', async () => {
    const line = (target: string, host: string) =>
      `GET ${target} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`;
    const foreign = await sendRaw(hub.port, [line('http://evil.example/api/v1/tokens', '127.0.0.1')]);
    expect([400, 421]).toContain(statusOf(foreign.text));
    const two = await sendRaw(hub.port, [get('/', 'evil.example', 'Host: 127.0.0.1\r\n')]);
    expect([400, 421]).toContain(statusOf(two.text));
  });

  test('metrics are not to be had by a name that leads here', async () => {
    const { text } = await sendRaw(hub.port, [get('/metrics', 'rebound.example')]);
    expect(statusOf(text)).toBe(421);
    expect(text).not.toContain('parallax_');
  });

  test('health asks nobody for a name', async () => {
    for (const path of ['/healthz', '/readyz']) {
      const { text } = await sendRaw(hub.port, [get(path, '10.1.2.3:7070')]);
      expect(statusOf(text)).toBe(200);
    }
  });
});

describe('problem documents', () => {
  const cases: [what: string, path: string, init: RequestInit, status: number, code: string][] = [
    ['an unknown path', '/nothing', {}, 404, 'route.unknown'],
    ['an unknown path of the API', '/api/v1/nothing', {}, 401, 'auth.required'],
    ['a method nobody serves', '/openapi.json', { method: 'PATCH' }, 405, 'route.method'],
    ['a method of health', '/healthz', { method: 'DELETE' }, 405, 'route.method'],
    ['nobody signed in', '/api/v1/tokens', {}, 401, 'auth.required'],
    [
      'a token that is none',
      '/api/v1/tokens',
      { headers: { authorization: 'Bearer x' } },
      401,
      'auth.invalid',
    ],
    ['basic auth', '/api/v1/tokens', { headers: { authorization: 'Basic eDp5' } }, 401, 'auth.invalid'],
    ['an asset of before', '/assets/pages-000000000000.js', {}, 404, 'asset.unknown'],
  ];
  test.each(cases)('%s', async (_, path, init, status, code) => {
    const response = await hub.ask(path, init);
    expect(response.headers.get('content-type')).toBe('application/problem+json');
    const id = response.headers.get('x-request-id');
    const body = (await response.json()) as Record<string, unknown>;
    expect(body).toMatchObject({ type: `urn:parallax:problem:${code}`, status, code, requestId: id });
    expect(response.status).toBe(status);
    expect(body.title).toEqual(expect.any(String));
    expect(body.detail).toEqual(expect.any(String));
    if (status === 405) expect(response.headers.get('allow')).toContain('GET');
    if (status === 401) expect(response.headers.get('www-authenticate')).toContain('Bearer');
  });

  test('below /api/ too, for who may look', async () => {
    const token = await hub.token(['read']);
    expect(await codeOf(await hub.ask('/api/v1/nothing', { token }))).toEqual([404, 'route.unknown']);
    const response = await hub.ask('/api/v1/tokens', { method: 'PATCH', token });
    expect(response.headers.get('allow')).toBe('GET, HEAD, POST');
    expect(await codeOf(response)).toEqual([405, 'route.method']);
  });

  test('what breaks inside stays inside, and stands in the log under the same id', async () => {
    const token = await hub.token(['admin']);
    await hub.db.run('alter table api_tokens rename column created_by to gone');
    try {
      const response = await hub.ask('/api/v1/tokens', {
        token: await hub.token(['admin']).catch(() => token),
      });
      const text = await response.text();
      expect(response.status).toBe(500);
      expect(JSON.parse(text)).toMatchObject({ code: 'internal' });
      expect(text).not.toMatch(/created_by|select|column/);
      const id = response.headers.get('x-request-id');
      const line = hub.logged().find(({ requestId }) => requestId === id);
      expect(line).toMatchObject({
        level: 'error',
        status: 500,
        err: { message: expect.stringContaining('created_by') },
      });
    } finally {
      await hub.db.run('alter table api_tokens rename column gone to created_by');
    }
  });

  test('JSON that is none, and no JSON at all', async () => {
    const token = await hub.token(['admin']);
    const send = (body: string, type = 'application/json') =>
      hub.ask('/api/v1/tokens', { method: 'POST', token, body, headers: { 'content-type': type } });
    expect(await codeOf(await send('{'))).toEqual([400, 'request.invalid']);
    expect(await codeOf(await send('[]'))).toEqual([400, 'request.invalid']);
    expect(await codeOf(await send('name=x', 'text/plain'))).toEqual([415, 'request.invalid']);
  });
});

describe('what one request may be', () => {
  test('ids: ours, unless a trusted proxy brought one', async () => {
    const response = await hub.ask('/healthz', { headers: { 'x-request-id': 'chosen-by-a-stranger' } });
    expect(response.headers.get('x-request-id')).toMatch(/^[0-9a-f-]{36}$/);
  });

  test('bodies: a length that is named, one that is not, and one that lies', async () => {
    const token = await hub.token(['admin']);
    const large = 'x'.repeat(3 * 1024 * 1024);
    expect(await codeOf(await hub.ask('/api/v1/tokens', { method: 'POST', token, body: large }))).toEqual([
      413,
      'request.too_large',
    ]);
    let pulled = 0;
    const body = new ReadableStream<Uint8Array>({
      pull(controller) {
        pulled += 1;
        controller.enqueue(new Uint8Array(65_536));
        if (pulled > 2000) controller.close();
      },
    });
    const endless = await hub
      .ask('/api/v1/tokens', { method: 'POST', token, body, duplex: 'half' } as RequestInit)
      .catch(() => null);
    if (endless) expect(endless.status).toBe(413);
    expect(pulled).toBeLessThan(1000);
    const head = `POST /session HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 99999999999\r\n\r\n`;
    expect(statusOf((await sendRaw(hub.port, [head], { withinMs: 1000 })).text)).toBe(413);
  });

  test('who is nobody has at most 64 KiB of a body in memory, and none before a proof', async () => {
    for (const [path, most, refusal] of [
      ['/api/v1/endpoints/apply', 70_000, [413, 'request.too_large']],
      ['/v1/results', 0, [401, 'proof.missing']],
      ['/v1/lease', 0, [401, 'proof.missing']],
    ] as const) {
      let pulled = 0;
      const body = new ReadableStream<Uint8Array>(
        {
          async pull(controller) {
            // Only what is asked for is sent: an answer that needs no more ends it.
            if (pulled >= Math.max(most, 1)) return;
            pulled += 4096;
            controller.enqueue(new Uint8Array(4096));
          },
        },
        { highWaterMark: 0 },
      );
      const init = { method: 'POST', body, duplex: 'half', signal: AbortSignal.timeout(5000) };
      expect(await codeOf(await hub.ask(path, init as RequestInit))).toEqual(refusal);
    }
  });

  test('strangers who drip their bodies take no place from a probe', async () => {
    const head = `POST /v1/results HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n\r\n`;
    const sent = await Promise.all(
      Array.from({ length: 80 }, () => sendRaw(hub.port, [head, 'x', 'x'], { everyMs: 100, withinMs: 600 })),
    );
    expect(new Set(sent.map(({ text }) => statusOf(text)))).toEqual(new Set([401]));
  });

  test('a small body without a length is read as any other', async () => {
    const token = await hub.token(['admin']);
    const body = new Blob([JSON.stringify({ name: 'chunked', scopes: ['read'] })]).stream();
    const response = await hub.ask('/api/v1/tokens', {
      method: 'POST',
      token,
      body,
      duplex: 'half',
      headers: { 'content-type': 'application/json' },
    } as RequestInit);
    expect(response.status).toBe(201);
  });

  test('headers: a flood of bytes and a flood of names', async () => {
    const bytes = await sendRaw(hub.port, [get('/healthz', '127.0.0.1', `X: ${'y'.repeat(40_000)}\r\n`)]);
    expect([statusOf(bytes.text), bodyOf(bytes.text).code]).toEqual([431, 'request.headers_too_large']);
    const names = (count: number) => Array.from({ length: count }, (_, index) => `X${index}: 1\r\n`).join('');
    for (const [count, status] of [
      [80, 200],
      [150, 431],
    ] as const) {
      const { text } = await sendRaw(hub.port, [get('/healthz', '127.0.0.1', names(count))]);
      expect([count, statusOf(text)]).toEqual([count, status]);
    }
    expect(statusOf((await sendRaw(hub.port, ['\u0016\u0003\u0001 not http\r\n\r\n'])).text)).toBe(400);
  });

  test('smuggling: both lengths, a broken chunk', async () => {
    const both =
      'POST /session HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n';
    const { text } = await sendRaw(hub.port, [both], { withinMs: 3000 });
    expect(statusOf(text)).toBe(400);
    expect(text).not.toContain('parallax_');
  });

  test('who goes away in the middle of a request is no failure of ours', async () => {
    const token = await hub.token(['admin']);
    const before = hub.logged().filter(({ level }) => level === 'error').length;
    const head = `POST /api/v1/tokens HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer ${token}\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"name":`;
    await Promise.all(Array.from({ length: 20 }, () => sendRaw(hub.port, [head], { withinMs: 300 })));
    const gone = () => hub.logged().filter(({ status }) => status === 499);
    await until(() => gone().length === 20);
    expect(hub.logged().filter(({ level }) => level === 'error')).toHaveLength(before);
    expect(new Set(gone().map(({ level }) => level))).toEqual(new Set(['debug']));
    const text = await (await hub.ask('/metrics')).text();
    expect(text).toContain(
      'parallax_http_requests_total{route="/api/v1/tokens",method="POST",status="499"} 20',
    );
  });

  test('slow loris: headers that drip are cut off, and cost nobody else anything', async () => {
    const drip = [
      'GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n',
      ...Array.from({ length: 60 }, () => 'X: 1\r\n'),
    ];
    const dripping = Array.from({ length: 50 }, () =>
      sendRaw(hub.port, drip, { everyMs: 500, withinMs: 25_000 }),
    );
    const beganMs = performance.now();
    expect((await hub.ask('/healthz')).status).toBe(200);
    expect(performance.now() - beganMs).toBeLessThan(1000);
    const [one] = await Promise.all(dripping);
    expect(one?.closed).toBe(true);
    expect(one?.afterMs).toBeLessThan(15_000);
    expect([statusOf(one?.text ?? ''), bodyOf(one?.text ?? '').code]).toEqual([408, 'request.timeout']);
  });
});

test('every answer carries the headers that keep it where it belongs', async () => {
  for (const path of ['/healthz', '/nothing', '/sign-in', '/api/v1/tokens', '/openapi.json', '/docs']) {
    const { headers } = await hub.ask(path);
    expect([path, headers.get('x-content-type-options'), headers.get('x-frame-options')]).toEqual([
      path,
      'nosniff',
      'DENY',
    ]);
    expect(headers.get('content-security-policy')).toContain("default-src 'none'");
    expect(headers.get('content-security-policy')).not.toContain('unsafe');
    expect(headers.get('cross-origin-resource-policy')).toBe('same-origin');
    expect(headers.get('cache-control')).not.toBeNull();
    expect(headers.get('access-control-allow-origin')).toBeNull();
  }
});

test('the OpenAPI document names every route of the operator API, each with its tag and its problem', async () => {
  const document = (await (await hub.ask('/openapi.json')).json()) as {
    paths: Record<
      string,
      Record<string, { tags?: string[]; summary?: string; responses: Record<string, unknown> }>
    >;
  };
  const wanted = ['endpoints', 'results', 'probes', 'regions', 'enrollments', 'tokens', 'audit'];
  for (const name of wanted) expect(Object.keys(document.paths)).toContain(`/api/v1/${name}`);
  for (const [path, operations] of Object.entries(document.paths)) {
    for (const [method, { tags, summary, responses }] of Object.entries(operations)) {
      expect([path, method, tags?.length, typeof summary]).toEqual([path, method, 1, 'string']);
      expect(responses.default).toBeDefined();
    }
  }
  const refs = [...JSON.stringify(document).matchAll(/"\$ref":"#\/components\/schemas\/([^"/]+)"/g)].map(
    ([, name]) => name,
  );
  const known = Object.keys((document as unknown as { components: { schemas: object } }).components.schemas);
  expect(refs.filter((name) => !known.includes(name ?? ''))).toEqual([]);
  const page = await (await hub.ask('/docs')).text();
  for (const path of Object.keys(document.paths)) expect(page).toContain(path);
  expect(page).not.toMatch(
    /<script(?![^>]* src="\/assets\/)|https?:\/\/(?!127\.0\.0\.1|shop\.example|[a-z-]*\.?hub\.example)|\son[a-z]+=/,
  );
});
