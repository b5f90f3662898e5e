import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { EndpointDocument } from '../../../shared/endpoint.ts';
import { sealedMark } from '../../../shared/endpoint-secrets.ts';
import { type EndpointsScene, endpointsScene, ref, soon } from './scene.ts';

let scene: EndpointsScene;
beforeAll(async () => {
  scene = await endpointsScene();
});
afterAll(() => scene.end());

let count = 0;
let name = '';
beforeEach(() => {
  count += 1;
  name = `shop-${count}`;
});
const pem = (label: string, text: string) => `-----BEGIN ${label}-----\n${text}\n-----END ${label}-----\n`;
const document = (request: EndpointDocument['request'], over: Partial<EndpointDocument> = {}) => ({
  name,
  url: 'https://shop.example/health',
  request,
  ...over,
});
/** Every row of every table, as text; bytes in hex and in clear. */
async function dump(): Promise<string> {
  const tables = await scene.db.many<{ name: string }>(
    "select quote_ident(table_name) as name from information_schema.tables where table_schema = 'public'",
  );
  const rows = await Promise.all(
    tables.map(({ name: table }) =>
      scene.db.many<{ text: string }>(`select t::text as text from ${table} t`),
    ),
  );
  return rows
    .flat()
    .map(({ text }) => text)
    .join('\n');
}
const revealed = (id: number, rev = 1) =>
  soon(() => {
    if ((scene.catalog.byId(id)?.rev ?? 0) < rev) throw new Error('not yet');
    return scene.catalog.reveal(id)?.request;
  });

test('no secret is seen in an answer, a log line, the audit log or any column; the shard sees them all', async () => {
  const mark = 'Hunter2';
  const secret = (what: string) => `${mark}-${what}`;
  const request = {
    headers: {
      Authorization: `Basic ${secret('auth')}`,
      'X-Api-Key': secret('key'),
      'X-Tenant': secret('tenant'),
      Accept: 'text/html',
    },
    body: secret('body'),
    proxy: `http://user:${secret('proxy')}@proxy.example:3128`,
    tls: { cert: pem('CERTIFICATE', 'public'), key: pem('PRIVATE KEY', secret('pem')) },
  };
  const made = await scene.create({ ...document(request), secrets: ['request.headers.x-tenant'] });
  const basic = await scene.create({
    ...document({ basicAuth: { username: 'u', password: secret('password') } }),
    name: `${name}-b`,
  });
  const bearer = await scene.create({ ...document({ bearer: secret('bearer') }), name: `${name}-c` });
  expect(made.document?.request).toMatchObject({
    headers: {
      Authorization: sealedMark,
      'X-Api-Key': sealedMark,
      'X-Tenant': sealedMark,
      Accept: 'text/html',
    },
    body: sealedMark,
    proxy: sealedMark,
    tls: { cert: pem('CERTIFICATE', 'public'), key: sealedMark },
  });
  expect(basic.document?.request).toHaveProperty('basicAuth', { username: 'u', password: sealedMark });
  const answers = [
    made,
    basic,
    bearer,
    await scene.api('PATCH', `/${made.id}`, { request: { body: secret('body-2') } }, { match: 1 }),
    await scene.api('POST', '/apply', {
      dryRun: true,
      endpoints: [document({ bearer: secret('bearer-2') })],
    }),
    await scene.api('POST', '/apply', {
      endpoints: [document({ bearer: secret('a\nb'), proxy: `${secret('x')}` })],
    }),
    await scene.api(
      'POST',
      '',
      document({ headers: { Cookie: secret('a\nb') }, tls: { key: secret('no pem') } }),
    ),
    await scene.api('PUT', `/${made.id}`, { bearer: secret('elsewhere') }, { match: '*' }),
    await scene.api('GET', ''),
    await scene.cli('export'),
    await scene.cli('list', '--json'),
  ];
  expect(answers.map((answer) => JSON.stringify(answer)).filter((text) => text.includes(mark))).toEqual([]);
  expect(scene.logged.filter((line) => line.includes(mark))).toEqual([]);
  const everything = await dump();
  expect(everything).toContain(`endpoint:${name}`);
  expect(everything).not.toContain(mark);
  expect(everything).not.toContain(Buffer.from(mark).toString('hex'));
  expect(everything).not.toContain(Buffer.from(`${mark}-`).toString('base64').slice(0, 8));
  expect(await revealed(made.id, 2)).toMatchObject({ ...request, body: secret('body-2') });
  expect(await revealed(basic.id)).toMatchObject({
    basicAuth: { username: 'u', password: secret('password') },
  });
  expect(await revealed(bearer.id)).toMatchObject({ bearer: secret('bearer') });
});

test('equal secrets are sealed to different bytes, and the same again to the same', async () => {
  const sealed = async (id: number) =>
    (
      await scene.db.one<{ sealed: Record<string, string> }>('select sealed from endpoints where id = $1', [
        id,
      ])
    ).sealed;
  const a = await scene.create(document({ bearer: 'same', body: 'same' }));
  const b = await scene.create({ ...document({ bearer: 'same' }), name: `${name}-b` });
  const before = await sealed(a.id);
  expect(new Set([...Object.values(before), ...Object.values(await sealed(b.id))]).size).toBe(3);
  await scene.api('PUT', `/${a.id}`, document({ bearer: 'same', body: 'other' }), { match: 1 });
  const after = await sealed(a.id);
  expect(after['request.bearer']).toBe(before['request.bearer']);
  expect(after['request.body']).not.toBe(before['request.body']);
});

test('a reference to the probe stays in clear, with its scheme too', async () => {
  const request = {
    headers: { Authorization: `Bearer ${ref('probe', 'TOKEN')}` },
    body: ref('probe', 'BODY'),
  };
  const made = await scene.create(document(request));
  expect(made.document?.request).toMatchObject(request);
  expect(await revealed(made.id)).toMatchObject(request);
});

describe('a secret that is sent back as <sealed>', () => {
  test('stays as it was, whatever else changes and however its header is written', async () => {
    const made = await scene.create(
      document({ bearer: 's3cret', body: 'b0dy', headers: { 'X-Token': 't0ken' } }),
    );
    const shown = made.document ?? {};
    const answer = await scene.api(
      'PUT',
      `/${made.id}`,
      {
        ...shown,
        url: 'https://shop.example/other?path=1',
        request: { ...made.document?.request, method: 'POST', headers: { 'x-token': sealedMark } },
      },
      { match: 1 },
    );
    expect(answer.status).toBe(200);
    expect(await revealed(made.id, 2)).toMatchObject({
      bearer: 's3cret',
      body: 'b0dy',
      headers: { 'x-token': 't0ken' },
    });
  });

  const ca = pem('CERTIFICATE', 'evil');
  test.each<[what: string, patch: object, changed: string]>([
    ['another host', { url: 'https://evil.example/health' }, 'the origin of url'],
    ['another port', { url: 'https://shop.example:8443/health' }, 'the origin of url'],
    ['no TLS', { url: 'http://shop.example/health' }, 'the origin of url'],
    ['another address', { request: { resolveTo: '203.0.113.66' } }, 'request.resolveTo'],
    ['a proxy', { request: { proxy: 'http://evil.example:3128' } }, 'request.proxy'],
    ['a proxy with credentials', { request: { proxy: 'http://a:b@evil.example:3128' } }, 'request.proxy'],
    ['no verification', { request: { tls: { verify: false } } }, 'request.tls.verify'],
    ['another authority', { request: { tls: { ca } } }, 'request.tls.ca'],
    ['another name of the server', { request: { serverName: 'evil.example' } }, 'request.serverName'],
  ])('must be given again for %s', async (_what, patch, changed) => {
    const made = await scene.create(document({ bearer: 's3cret', headers: { 'X-Token': 't0ken' } }));
    const answer = await scene.api('PATCH', `/${made.id}`, patch, { match: 1 });
    const message = `give the secret again: it was given for another target (changed: ${changed})`;
    expect(answer).toMatchObject({
      status: 422,
      content: {
        code: 'endpoint.secret_again',
        errors: [
          { path: 'request.headers.X-Token', message },
          { path: 'request.bearer', message },
        ],
      },
    });
    const applied = {
      ...made.document,
      ...patch,
      request: { ...made.document?.request, ...('request' in patch ? (patch.request as object) : {}) },
    };
    const apply = await scene.api('POST', '/apply', { endpoints: [applied] });
    expect(apply).toMatchObject({
      status: 422,
      content: { errors: [{ path: 'endpoints[0].request.headers.X-Token' }, {}] },
    });
    // In two steps, with a stop where the secret would not be sent, it is the same.
    const again = await scene.api('PATCH', `/${made.id}`, { ...patch, enabled: false }, { match: 1 });
    expect(again.status).toBe(422);
    const given = {
      ...patch,
      request: {
        ...('request' in patch ? (patch.request as object) : {}),
        bearer: 'new',
        headers: { 'X-Token': null },
      },
    };
    expect((await scene.api('PATCH', `/${made.id}`, given, { match: 1 })).status).toBe(200);
    expect(await revealed(made.id, 2)).toMatchObject({ bearer: 'new', headers: {} });
  });

  test('is no value where none was, nor under another field or endpoint', async () => {
    const made = await scene.create(document({ bearer: 's3cret' }));
    const message = 'no value is sealed here: give it';
    const patch = { request: { bearer: null, headers: { 'X-Echo': sealedMark } } };
    expect(await scene.api('PATCH', `/${made.id}`, patch, { match: 1 })).toMatchObject({
      status: 422,
      content: { errors: [{ path: 'request.headers.X-Echo', message }] },
    });
    const other = { ...made.document, name: `${name}-b` };
    expect(await scene.api('POST', '', other)).toMatchObject({
      status: 422,
      content: { errors: [{ path: 'request.bearer', message }] },
    });
    expect(await scene.api('POST', '/apply', { endpoints: [other] })).toMatchObject({ status: 422 });
  });

  test('moves with its endpoint to another name', async () => {
    const made = await scene.create(document({ bearer: 's3cret' }));
    const renamed = { ...made.document, name: `${name}-b`, renamedFrom: name };
    expect((await scene.api('POST', '/apply', { endpoints: [renamed] })).status).toBe(200);
    expect(await revealed(made.id, 2)).toMatchObject({ bearer: 's3cret' });
  });

  test('a proxy of which only the password changes takes no other secret with it', async () => {
    const made = await scene.create(document({ bearer: 's3cret', proxy: 'http://u:one@proxy.example:3128' }));
    const patch = { request: { proxy: 'http://u:two@proxy.example:3128' } };
    expect((await scene.api('PATCH', `/${made.id}`, patch, { match: 1 })).status).toBe(200);
    expect(await revealed(made.id, 2)).toMatchObject({
      bearer: 's3cret',
      proxy: 'http://u:two@proxy.example:3128',
    });
    const moved = { url: 'https://evil.example/', request: { bearer: 'new' } };
    expect(await scene.api('PATCH', `/${made.id}`, moved, { match: 2 })).toMatchObject({
      status: 422,
      content: { errors: [{ path: 'request.proxy' }] },
    });
  });

  test('what was sealed once stays sealed, also where it came in clear', async () => {
    const made = await scene.create({
      ...document({ headers: { 'X-Tenant': 'one' } }),
      secrets: ['request.headers.X-Tenant'],
    });
    const patch = { request: { headers: { 'x-tenant': 'two', 'X-Tenant': null } } };
    const answer = await scene.api('PATCH', `/${made.id}`, patch, { match: 1 });
    expect(answer.content.document?.request).toHaveProperty('headers', { 'x-tenant': sealedMark });
  });
});

describe('who can only write to the database', () => {
  const set = (id: number, what: string, values: unknown[] = []) =>
    scene.db.run(`update endpoints set ${what} where id = $1`, [id, ...values]);
  /** So that the running catalog looks at it; this alone makes no row hold. */
  const touch = (id: number) => set(id, 'changed_at = now()');
  const gone = (id: number) =>
    soon(async () => {
      await scene.catalog.refresh();
      expect(scene.catalog.byId(id)).toBeUndefined();
      expect(scene.catalog.reveal(id)).toBeUndefined();
    });

  test.each<[what: string, change: string]>([
    ['moves the target', `spec = jsonb_set(spec, '{url}', '"https://evil.example/"')`],
    ['switches verification off', `spec = jsonb_set(spec, '{request,tls,verify}', 'false')`],
    ['adds a region', `spec = jsonb_set(spec, '{regions}', '["evil"]')`],
    ['takes a secret away', `sealed = '{}'`],
    [
      'gives another endpoint a secret',
      `sealed = (select sealed from endpoints where id <> $1 and sealed <> '{}' limit 1)`,
    ],
    ['changes the rev', 'rev = rev + 1'],
    ['changes the name', `name = 'other-' || name`],
    ['changes the source', `source = 'other'`],
    ['changes nothing but the instant', `changed_at = changed_at + interval '1 microsecond'`],
    ['breaks the MAC', `mac = '\\x00'`],
    ['writes a document that is none', `spec = 'null'`],
  ])('and %s, makes the endpoint disappear for probes', async (_what, change) => {
    const made = await scene.create(document({ bearer: 's3cret' }));
    await revealed(made.id);
    await set(made.id, change);
    const restarted = await scene.catalogAgain();
    restarted.stop();
    expect(restarted.byId(made.id)).toBeUndefined();
    await touch(made.id);
    await gone(made.id);
    await scene.catalog.refresh();
    expect((await scene.api('GET', `/${made.id}`)).content).toMatchObject({ trusted: false, document: null });
    expect(
      scene.logged.filter(
        (line) => line.includes('not written by the hub') && line.includes(`"endpoint":${made.id},`),
      ),
      // Once by each catalog.
    ).toHaveLength(2);
    expect(await scene.api('PATCH', `/${made.id}`, { interval: '9s' }, { match: '*' })).toMatchObject({
      status: 409,
      content: { code: 'endpoint.untrusted' },
    });
    // Its secrets are nobody's to keep; with new ones it is the hub's again.
    const kept = await scene.api('PUT', `/${made.id}`, made.document, { match: '*' });
    expect(kept).toMatchObject({ status: 422, content: { code: 'endpoint.secret_again' } });
    const whole = await scene.api('PUT', `/${made.id}`, document({ bearer: 'new' }), { match: '*' });
    expect(whole).toMatchObject({ status: 200, content: { trusted: true } });
    expect(await revealed(made.id, whole.content.rev)).toMatchObject({ bearer: 'new' });
  });

  test('and inserts a target, undeletes one or brings an old version back, reaches no probe', async () => {
    const made = await scene.create(document({ bearer: 's3cret' }));
    const [inserted] = await scene.db.many<{ id: number }>(
      `insert into endpoints (name, rev, spec, sealed, source, changed_at, mac)
       select 'evil-' || name, rev, spec, sealed, source, now(), mac from endpoints where id = $1 returning id`,
      [made.id],
    );
    await gone(inserted?.id ?? 0);
    await scene.api('DELETE', `/${made.id}`);
    await set(made.id, 'deleted_at = null');
    const restarted = await scene.catalogAgain();
    restarted.stop();
    expect(restarted.byId(made.id)).toBeUndefined();
    await touch(made.id);
    await gone(made.id);
    expect([...scene.catalog.all()].map(({ endpoint }) => endpoint.name)).not.toContain(name);
    expect(await scene.api('DELETE', `/${made.id}`)).toMatchObject({ status: 204 });
  });

  test('and takes a row away, makes it disappear when rows are compared', async () => {
    const made = await scene.create(document({ bearer: 's3cret' }));
    await revealed(made.id);
    await scene.db.run(
      'delete from endpoints where changed_at >= (select changed_at from endpoints where id = $1)',
      [made.id],
    );
    await gone(made.id);
  });
});

describe('PARALLAX_SECRET', () => {
  test('that is another one is told at start, in one line', async () => {
    await scene.create(document({ bearer: 's3cret' }));
    await expect(scene.catalogAgain(randomBytes(32))).rejects.toThrow(
      /^PARALLAX_SECRET is not the one that the credentials of \d+ endpoints in this database are sealed with: set the one they were written with, as PARALLAX_SECRET or, to change it, as PARALLAX_SECRET_ALSO$/,
    );
    await (await scene.catalogAgain()).refresh();
  });

  test('may be another while nothing is sealed, and has 32 bytes', async () => {
    const empty = await endpointsScene();
    try {
      await empty.create({ name: 'a', url: 'http://a.example/' });
      await empty.catalogAgain(randomBytes(32));
      await expect(empty.catalogAgain(randomBytes(16))).rejects.toThrow('16 bytes instead of 32');
    } finally {
      await empty.end();
    }
  });
});
