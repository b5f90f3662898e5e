import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { EndpointDocument } from '../../../shared/endpoint.ts';
import { type EndpointsScene, endpointsScene, ref, type Shown, soon } from './scene.ts';

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
const document = (over: Partial<EndpointDocument> = {}) => ({
  name,
  url: 'https://shop.example/health',
  ...over,
});

describe('one endpoint', () => {
  test('is made, shown with every default, and in force in the catalog', async () => {
    const made = await scene.create(document({ interval: '10s', tags: { team: 'web' } }));
    expect(made).toMatchObject({ rev: 1, name, source: 'api', trusted: true });
    expect(made.document).toMatchObject({ interval: '10s', replicas: 1, expect: { status: ['2xx'] } });
    const shown = await scene.api('GET', `/${made.id}`);
    expect(shown.content).toEqual(made);
    expect(shown.etag).toBe('"1"');
    const known = await soon(() => {
      const one = scene.catalog.byId(made.id);
      if (!one) throw new Error('not yet');
      return one;
    });
    expect(known).toMatchObject({
      rev: 1,
      deleted: false,
      endpoint: { name, interval: 10_000, tags: { team: 'web' } },
    });
    expect(scene.catalog.regionsOf(made.id)).toBe('all');
  });

  test('changes only for one who read its newest version', async () => {
    const made = await scene.create(document());
    const put = (match?: string | number) =>
      scene.api('PUT', `/${made.id}`, document({ interval: '20s' }), match === undefined ? {} : { match });
    expect(await put()).toMatchObject({ status: 428, content: { code: 'endpoint.if_match' } });
    expect(await put(7)).toMatchObject({ status: 412, content: { code: 'endpoint.stale' } });
    expect(await put('1')).toMatchObject({ status: 412 });
    expect(await put('W/"1"')).toMatchObject({ status: 412 });
    expect(await put(1)).toMatchObject({ status: 200, etag: '"2"', content: { rev: 2 } });
    expect(await put(1)).toMatchObject({ status: 412 });
    // The same content is no change.
    expect(await put('*')).toMatchObject({ status: 200, etag: '"2"' });
    const patched = await scene.api(
      'PATCH',
      `/${made.id}`,
      { interval: null, expect: { certDays: 7 } },
      { match: 2 },
    );
    expect(patched.content).toMatchObject({ rev: 3, document: { interval: '1m', expect: { certDays: 7 } } });
  });

  test('of many writers with the same version one wins', async () => {
    const made = await scene.create(document());
    const answers = await Promise.all(
      Array.from({ length: 8 }, (_, index) =>
        scene.api('PATCH', `/${made.id}`, { interval: `${index + 2}s` }, { match: 1 }),
      ),
    );
    expect(answers.map(({ status }) => status).sort()).toEqual([200, ...Array(7).fill(412)]);
  });

  test('is deleted: gone from the API and the catalog, its name free, its regions known for late results', async () => {
    const made = await scene.create(document({ regions: ['eu'] }));
    expect(await scene.api('DELETE', `/${made.id}`, undefined, { match: 2 })).toMatchObject({ status: 412 });
    expect(await scene.api('DELETE', `/${made.id}`)).toMatchObject({ status: 204 });
    expect(await scene.api('GET', `/${made.id}`)).toMatchObject({
      status: 404,
      content: { code: 'endpoint.unknown' },
    });
    expect(await scene.api('DELETE', `/${made.id}`)).toMatchObject({ status: 404 });
    await soon(() => expect(scene.catalog.byId(made.id)?.deleted).toBe(true));
    expect([...scene.catalog.all()].some(({ id }) => id === made.id)).toBe(false);
    expect(scene.catalog.regionsOf(made.id)).toEqual(new Set(['eu']));
    scene.laterUs = 8 * 86_400_000_000;
    expect(scene.catalog.regionsOf(made.id)).toBeUndefined();
    scene.laterUs = 0;
    const again = await scene.create(document());
    expect(again.id).not.toBe(made.id);
  });

  test('keeps its id and history under another name, which must be free', async () => {
    const made = await scene.create(document());
    const other = await scene.create(document({ name: `${name}-b` }));
    const taken = await scene.api('PATCH', `/${other.id}`, { name }, { match: 1 });
    expect(taken).toMatchObject({ status: 409, content: { code: 'endpoint.name_taken' } });
    const renamed = await scene.api('PATCH', `/${made.id}`, { name: `${name}-c` }, { match: 1 });
    expect(renamed.content).toMatchObject({ id: made.id, rev: 2, name: `${name}-c` });
    expect(await scene.api('POST', '', document({ renamedFrom: 'x' }))).toMatchObject({
      status: 400,
      content: { errors: [{ path: 'renamedFrom' }] },
    });
  });

  test('that is wrong is refused with all its problems', async () => {
    const answer = await scene.api('POST', '', {
      name,
      url: 'htps://x',
      request: { headrs: {} },
      interval: 5,
    });
    expect(answer.status).toBe(400);
    expect(answer.content).toMatchObject({
      code: 'endpoint.invalid',
      errors: [
        { path: 'interval', message: 'must be text like 30s, not a number' },
        { path: 'request.headrs', message: "is not a known key: did you mean 'headers'?" },
        {
          path: 'url',
          message: expect.stringMatching(/^the scheme 'htps' is not known, .*: did you mean 'https'\?$/),
        },
      ],
    });
    expect(await scene.api('POST', '', '{"name":')).toMatchObject({
      status: 400,
      content: { code: 'request.invalid' },
    });
    expect(await scene.api('POST', '', 'null')).toMatchObject({ status: 400 });
  });

  test.each([
    ['a NUL in the body', { request: { body: 'a\0b' } }, 'request.body'],
    ['half a surrogate pair', { tags: { a: '\ud800' } }, 'tags.a'],
    [
      'a reference to the environment, over the API',
      { request: { bearer: ref('env', 'TOKEN') } },
      'request.bearer',
    ],
    [
      'a reference where no secret stands',
      { expect: { body: { matches: [ref('probe', 'X')] } } },
      'expect.body.matches[0]',
    ],
  ])('%s is refused', async (_what, over, path) => {
    const answer = await scene.api('POST', '', document(over as Partial<EndpointDocument>));
    expect(answer).toMatchObject({ status: 400, content: { errors: [{ path }] } });
  });
});

describe('lists', () => {
  test('come in pages, by tag, name and region; names in the order of code points', async () => {
    const names = ['a', 'B', 'b', 'Z', 'é'].map((letter) => `${letter} list ${name}`);
    for (const [index, one] of names.entries()) {
      const regions = index < 2 ? ['eu'] : index < 4 ? ['us'] : [];
      await scene.create({
        name: one,
        url: 'http://x.example/',
        regions,
        tags: { list: name, n: String(index) },
      });
    }
    const all: string[] = [];
    let cursor = '';
    do {
      const page = await scene.api<{ endpoints: Shown[]; cursor: string | null }>(
        'GET',
        `?tag=list:${name}&limit=2${cursor && `&cursor=${cursor}`}`,
      );
      all.push(...page.content.endpoints.map((one) => one.name));
      cursor = page.content.cursor ?? '';
    } while (cursor);
    expect(all).toEqual([...names].sort());
    const find = async (query: string, operator = {}) => {
      const { content } = await scene.api<{ endpoints: Shown[] }>('GET', `?${query}`, undefined, {
        operator,
      });
      return content.endpoints.map((one) => one.document?.tags?.n);
    };
    expect(await find(`tag=list:${name}&tag=n:3`)).toEqual(['3']);
    expect(await find(`tag=list&name=Z%20LIST%20${name}`)).toEqual(['3']);
    expect(await find(`tag=list:${name}&region=eu`)).toEqual(['1', '0', '4']);
    expect(await find(`tag=list:${name}`, { regions: ['us'] })).toEqual(['3', '2', '4']);
    expect(await find(`tag=list:nobody`)).toEqual([]);
    expect(await scene.api('GET', '?cursor=zzz')).toMatchObject({
      status: 400,
      content: { code: 'request.cursor' },
    });
    expect(await scene.api('GET', '?region=us', undefined, { operator: { regions: ['eu'] } })).toMatchObject({
      status: 403,
    });
  });
});

describe('who may', () => {
  test.each([
    ['nobody', null, 401, 401],
    ['read', { scopes: ['read'] as const }, 200, 403],
    ['write', { scopes: ['write'] as const }, 200, 201],
  ])('%s', async (_who, operator, reads, writes) => {
    expect((await scene.api('GET', '', undefined, { operator })).status).toBe(reads);
    expect((await scene.api('POST', '', document(), { operator })).status).toBe(writes);
    expect((await scene.api('POST', '/apply', { endpoints: [] }, { operator })).status).toBe(
      writes === 201 ? 200 : writes,
    );
  });

  test('one for some regions touches only what is checked from those, before and after', async () => {
    const operator = { scopes: ['write'] as const, regions: ['eu'] };
    const eu = document({ regions: ['eu'] });
    const made = await scene.api('POST', '', eu, { operator });
    expect(made.status).toBe(201);
    const { id } = made.content;
    const forbidden = { status: 403, content: { code: 'auth.region' } };
    const all = document({ name: `${name}-all` });
    expect(await scene.api('POST', '', all, { operator })).toMatchObject(forbidden);
    expect(
      await scene.api('PATCH', `/${id}`, { regions: ['eu', 'us'] }, { operator, match: 1 }),
    ).toMatchObject(forbidden);
    expect(await scene.api('PATCH', `/${id}`, { regions: [] }, { operator, match: 1 })).toMatchObject(
      forbidden,
    );
    const us = await scene.create(document({ name: `${name}-us`, regions: ['us'] }));
    expect(await scene.api('GET', `/${us.id}`, undefined, { operator })).toMatchObject({ status: 404 });
    expect(await scene.api('PATCH', `/${us.id}`, { regions: ['eu'] }, { operator, match: 1 })).toMatchObject(
      forbidden,
    );
    expect(await scene.api('DELETE', `/${us.id}`, undefined, { operator })).toMatchObject(forbidden);
    // What would change nothing shows nothing, and neither does what is no document or has another version.
    for (const [change, match] of [
      [{}, '*'],
      [{ interval: 'x' }, '*'],
      [{}, 7],
    ] as const) {
      expect(await scene.api('PATCH', `/${us.id}`, change, { operator, match })).toMatchObject(forbidden);
    }
    expect(await scene.api('PUT', `/${us.id}`, us.document, { operator, match: '*' })).toMatchObject(
      forbidden,
    );
    const list = {
      endpoints: [
        { ...eu, interval: '5s' },
        { ...us.document, interval: '5s' },
      ],
    };
    expect(await scene.api('POST', '/apply', list, { operator })).toMatchObject(forbidden);
    expect(await scene.api('GET', `/${id}`)).toMatchObject({ content: { rev: 1 } });
    expect(await scene.api('DELETE', `/${id}`, undefined, { operator })).toMatchObject({ status: 204 });
  });
});

describe('the audit log', () => {
  test('has a line for each change, by whom and from where, and none for what did not happen', async () => {
    const made = await scene.create(document());
    await scene.api('PATCH', `/${made.id}`, { interval: '9s' }, { match: 1 });
    await scene.api('PATCH', `/${made.id}`, { interval: '8s' }, { match: 1 });
    await scene.api('PATCH', `/${made.id}`, { interval: '9s' }, { match: 2 });
    await scene.api('DELETE', `/${made.id}`);
    const lines = await scene.db.many<{
      action: string;
      before: { interval: string };
      after: { interval: string };
    }>(`select actor, action, before, after, remote_ip from audit_log where subject = $1 order by id`, [
      `endpoint:${name}`,
    ]);
    expect(lines).toMatchObject([
      {
        actor: 'token:test',
        action: 'endpoint.create',
        before: null,
        after: { interval: '1m' },
        remote_ip: '192.0.2.1',
      },
      { action: 'endpoint.update', before: { interval: '1m' }, after: { interval: '9s' } },
      { action: 'endpoint.delete', before: { interval: '9s' }, after: null },
    ]);
  });
});
