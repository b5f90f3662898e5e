import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Scope, scopes } from '../../../hub/api/operator.ts';
import { codeOf, type HubScene, startHubScene } from '../hub-scene.ts';
import { until } from '../ingest/until.ts';

let hub: HubScene;
beforeAll(async () => {
  hub = await startHubScene();
});
afterAll(() => hub.stop());

const json = (body: unknown): RequestInit => ({
  body: JSON.stringify(body),
  headers: { 'content-type': 'application/json' },
});

describe('scopes', () => {
  const routes: [method: string, path: string, least: Scope, body?: unknown][] = [
    ['GET', '/api/v1/endpoints', 'read'],
    ['GET', '/api/v1/probes', 'read'],
    ['GET', '/api/v1/regions', 'read'],
    ['GET', '/api/v1/enrollments', 'read'],
    ['GET', '/api/v1/results?endpoint=none', 'read'],
    ['GET', '/api/v1/rejects', 'read'],
    ['GET', '/api/v1/rejects/999999/content', 'admin'],
    ['GET', '/api/v1/tokens', 'admin'],
    ['GET', '/api/v1/audit', 'admin'],
    ['POST', '/api/v1/endpoints', 'write', {}],
    ['POST', '/api/v1/endpoints/apply', 'write', {}],
    ['DELETE', '/api/v1/endpoints/999999', 'write'],
    ['POST', '/api/v1/enrollments', 'admin', { region: 'eu-west' }],
    ['DELETE', '/api/v1/enrollments/7d444840-9dc0-41d1-b245-5ffdce74fad2', 'admin'],
    ['POST', '/api/v1/probes/999999/approve', 'admin'],
    ['POST', '/api/v1/probes/999999/revoke', 'admin'],
    ['POST', '/api/v1/tokens', 'admin', { name: 'x', scopes: ['read'] }],
    ['DELETE', '/api/v1/tokens/999999', 'admin'],
    ['POST', '/api/v1/sign-in-links', 'admin'],
  ];

  test.each(routes)('%s %s takes %s', async (method, path, least, body) => {
    const init = { method, ...(body === undefined ? {} : json(body)) };
    expect(await codeOf(await hub.ask(path, init))).toEqual([401, 'auth.required']);
    for (const scope of scopes) {
      const [status, code] = await codeOf(await hub.ask(path, { ...init, token: await hub.token([scope]) }));
      const allowed = scopes.indexOf(scope) <= scopes.indexOf(least);
      expect([scope, code === 'auth.scope']).toEqual([scope, !allowed]);
      if (allowed) expect([401, 403, 500]).not.toContain(status);
    }
  });

  test('no route of the OpenAPI document answers who is nobody', async () => {
    const document = (await (await hub.ask('/openapi.json')).json()) as { paths: Record<string, object> };
    for (const [path, operations] of Object.entries(document.paths)) {
      for (const method of Object.keys(operations)) {
        const response = await hub.ask(
          path.replace('{id}', '999999').replace('{jti}', '7d444840-9dc0-41d1-b245-5ffdce74fad2'),
          {
            method: method.toUpperCase(),
            ...(method === 'get' || method === 'delete' ? {} : json({})),
          },
        );
        // Who is nobody learns nothing, not even whether the request was well formed.
        expect([method, path, response.status]).toEqual([method, path, 401]);
      }
    }
  });
});

describe('regions', () => {
  const asked: [method: string, path: string, body: unknown, code: string][] = [
    ['POST', '/api/v1/enrollments', { region: 'us-east' }, 'auth.region'],
    ['GET', '/api/v1/results?endpoint=x&region=us-east', undefined, 'auth.region'],
    ['POST', '/api/v1/tokens', { name: 'wider', scopes: ['read'] }, 'auth.region'],
    [
      'POST',
      '/api/v1/tokens',
      { name: 'wider', scopes: ['read'], regions: ['eu-west', 'us-east'] },
      'auth.region',
    ],
    ['POST', '/api/v1/sign-in-links', undefined, 'auth.region'],
    ['GET', '/api/v1/audit', undefined, 'auth.region'],
  ];
  test.each(asked)('a token for eu-west alone: %s %s %j', async (method, path, body, code) => {
    const token = await hub.token(['admin'], ['eu-west']);
    const init = { method, token, ...(body === undefined ? {} : json(body)) };
    expect(await codeOf(await hub.ask(path, init))).toEqual([403, code]);
  });

  test('makes, sees and revokes tokens of its own region only', async () => {
    const token = await hub.token(['admin'], ['eu-west']);
    const create = {
      method: 'POST',
      token,
      ...json({ name: 'own', scopes: ['read'], regions: ['eu-west'] }),
    };
    expect((await hub.ask('/api/v1/tokens', create)).status).toBe(201);
    const listed = (await (await hub.ask('/api/v1/tokens', { token })).json()) as {
      tokens: { regions: unknown }[];
    };
    expect(listed.tokens.length).toBeGreaterThan(0);
    for (const { regions } of listed.tokens) expect(regions).toEqual(['eu-west']);
    const wide = await hub.db.one<{ id: number }>(
      'select max(id) as id from api_tokens where regions is null',
    );
    expect((await hub.ask(`/api/v1/tokens/${wide.id}`, { method: 'DELETE', token })).status).toBe(404);
    expect(await hub.db.one('select revoked_at from api_tokens where id = $1', [wide.id])).toEqual({
      revoked_at: null,
    });
  });
});

describe('API tokens', () => {
  test('what is kept is a hash, and what is listed is not the token', async () => {
    const token = await hub.token(['admin']);
    const made = (await (
      await hub.ask('/api/v1/tokens', {
        method: 'POST',
        token,
        ...json({ name: 'ci', scopes: ['read'], ttl: '1h' }),
      })
    ).json()) as { token: string; id: number };
    expect(made.token).toMatch(/^plx_[A-Za-z0-9_-]{43}$/);
    const all = JSON.stringify([
      await hub.db.many('select * from api_tokens'),
      await hub.db.many('select * from audit_log'),
      await (await hub.ask('/api/v1/tokens', { token })).json(),
      hub.logged(),
    ]);
    expect(all).not.toContain(made.token.slice(4, 20));
    expect(await hub.db.one('select action, subject, actor from audit_log order by id desc limit 1')).toEqual(
      {
        action: 'token.create',
        subject: 'token:ci',
        actor: 'token:test',
      },
    );
  });

  test('revoked: refused within seconds though it was used a moment ago', async () => {
    const admin = await hub.token(['admin']);
    const made = (await (
      await hub.ask('/api/v1/tokens', {
        method: 'POST',
        token: admin,
        ...json({ name: 'gone', scopes: ['read'] }),
      })
    ).json()) as { token: string; id: number };
    expect((await hub.ask('/api/v1/regions', made)).status).toBe(200);
    expect((await hub.ask(`/api/v1/tokens/${made.id}`, { method: 'DELETE', token: admin })).status).toBe(204);
    await until(async () => (await hub.ask('/api/v1/regions', made)).status === 401, 4000);
    expect(await codeOf(await hub.ask('/api/v1/regions', made))).toEqual([401, 'auth.invalid']);
    // Again is no error, and does not move the instant.
    const before = await hub.db.one('select revoked_at from api_tokens where id = $1', [made.id]);
    expect((await hub.ask(`/api/v1/tokens/${made.id}`, { method: 'DELETE', token: admin })).status).toBe(204);
    expect(await hub.db.one('select revoked_at from api_tokens where id = $1', [made.id])).toEqual(before);
  });

  test('ended: refused at the very moment, though it is remembered', async () => {
    const token = await hub.token(['read'], null, new Date(Date.now() + 700));
    expect((await hub.ask('/api/v1/regions', { token })).status).toBe(200);
    await until(async () => (await hub.ask('/api/v1/regions', { token })).status === 401, 1500);
  });

  const wrong: [what: string, of: (token: string) => string][] = [
    ['one letter other', (token) => token.slice(0, -2) + (token.at(-2) === 'A' ? 'B' : 'A') + token.at(-1)],
    ['without its prefix', (token) => token.slice(4)],
    ['another prefix', (token) => token.replace('plx_', 'plx-')],
    ['cut', (token) => token.slice(0, -1)],
    ['lengthened', (token) => `${token}A`],
    ['its hash', () => 'plx_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA'],
    ['empty', () => ''],
  ];
  test.each(wrong)('%s is refused', async (_, of) => {
    const token = of(await hub.token(['admin']));
    const response = await hub.ask('/api/v1/regions', { headers: { authorization: `Bearer ${token}` } });
    expect(await codeOf(response)).toEqual([401, 'auth.invalid']);
  });

  test('a token that is refused does not fall back to a session', async () => {
    const response = await hub.ask('/', {
      headers: { authorization: 'Bearer plx_x', cookie: '__Host-parallax=x' },
    });
    expect(response.status).toBe(401);
  });

  const bodies: [body: unknown, path: string][] = [
    [{ scopes: ['read'] }, 'name'],
    [{ name: '', scopes: ['read'] }, 'name'],
    [{ name: 'a\nb', scopes: ['read'] }, 'name'],
    [{ name: 'x', scopes: [] }, 'scopes'],
    [{ name: 'x', scopes: ['root'] }, 'scopes.0'],
    [{ name: 'x', scopes: ['read'], regions: [] }, 'regions'],
    [{ name: 'x', scopes: ['read'], regions: ['Not A Region'] }, 'regions.0'],
    [{ name: 'x', scopes: ['read'], ttl: 'soon' }, 'ttl'],
    [{ name: 'x', scopes: ['read'], extra: 1 }, ''],
  ];
  test.each(bodies)('%j is refused, and the field is named', async (body, path) => {
    const token = await hub.token(['admin']);
    const response = await hub.ask('/api/v1/tokens', { method: 'POST', token, ...json(body) });
    expect(response.status).toBe(400);
    const { errors } = (await response.json()) as { errors: { path: string; message: string }[] };
    expect(errors.map((error) => error.path)).toContain(path);
  });
});

test('the audit log comes in pages, each entry once, while others are written', async () => {
  const token = await hub.token(['admin']);
  for (let i = 0; i < 25; i += 1) {
    await hub.db.run(`insert into audit_log (actor, action, subject) values ('test', 'walk', $1)`, [`s${i}`]);
  }
  const seen: number[] = [];
  let cursor: string | null = '';
  while (cursor !== null) {
    const path: string = `/api/v1/audit?limit=7${cursor && `&cursor=${cursor}`}`;
    const page = (await (await hub.ask(path, { token })).json()) as {
      entries: { id: number }[];
      cursor: string | null;
    };
    seen.push(...page.entries.map(({ id }) => id));
    cursor = page.cursor;
    await hub.db.run(`insert into audit_log (actor, action, subject) values ('test', 'later', 'x')`);
  }
  expect(new Set(seen).size).toBe(seen.length);
  expect(seen).toEqual([...seen].sort((a, b) => b - a));
  const { count } = await hub.db.one<{ count: number }>(
    `select count(*) from audit_log where action = 'walk'`,
  );
  expect(count).toBe(25);
  for (const bad of [
    'x',
    Buffer.from('[-1]').toString('base64url'),
    Buffer.from('[1,2]').toString('base64url'),
    'W10',
  ]) {
    expect(await codeOf(await hub.ask(`/api/v1/audit?cursor=${bad}`, { token }))).toEqual([
      400,
      'request.cursor',
    ]);
  }
});

describe('/metrics', () => {
  test('for this machine; from behind a proxy on it only with a token', async () => {
    expect((await hub.ask('/metrics')).status).toBe(200);
    const forwarded = { headers: { 'x-forwarded-for': '203.0.113.9' } };
    expect(await codeOf(await hub.ask('/metrics', forwarded))).toEqual([401, 'auth.required']);
    const token = await hub.token(['read']);
    const text = await (await hub.ask('/metrics', { ...forwarded, token })).text();
    for (const name of [
      'parallax_ingest_rows_total',
      'parallax_ingest_rejects_total',
      'parallax_bus_ready',
      'parallax_leases_total',
      'parallax_http_request_seconds_bucket',
      'parallax_database_connections',
      'process_resident_memory_bytes',
    ]) {
      expect(text).toContain(name);
    }
  });

  test('paths that strangers make up are one series', async () => {
    for (let i = 0; i < 20; i += 1) await hub.ask(`/made-up-${i}`);
    const text = await (await hub.ask('/metrics')).text();
    expect(text).not.toContain('made-up');
    expect(text).toContain('route="none"');
  });
});
