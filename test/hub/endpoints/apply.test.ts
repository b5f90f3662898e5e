import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type Applied, createEndpointWriter } from '../../../hub/endpoints/endpoint-writer.ts';
import { lockEndpoints } from '../../../hub/store/lock-endpoints.ts';
import type { EndpointDocument } from '../../../shared/endpoint.ts';
import { type EndpointsScene, endpointsScene, ref, type Shown, soon } from './scene.ts';

let scene: EndpointsScene;
beforeAll(async () => {
  scene = await endpointsScene();
});
afterAll(() => scene.end());
beforeEach(async () => {
  await scene.api('POST', '/apply', { source: 'test', prune: true, endpoints: [] });
});

const url = 'https://shop.example/';
type Given = Partial<EndpointDocument> & { name: string };
const apply = (endpoints: readonly Given[], over: object = {}) =>
  scene.api<Applied & { dryRun: boolean }>('POST', '/apply', {
    source: 'test',
    endpoints: endpoints.map((one) => ({ url, ...one })),
    ...over,
  });
const all = async () => {
  const { content } = await scene.api<{ endpoints: Shown[] }>('GET', '?limit=1000');
  return new Map(content.endpoints.map((one) => [one.name, one]));
};
const actions = (answer: { content: Applied }) =>
  answer.content.changes.map(({ action, name }) => `${action} ${name}`);

describe('apply', () => {
  test('makes, changes and leaves as it is, by name', async () => {
    await apply([{ name: 'a' }, { name: 'b' }]);
    const answer = await apply([{ name: 'b', interval: '5s' }, { name: 'c' }, { name: 'a' }]);
    expect(answer.content).toMatchObject({
      dryRun: false,
      unchanged: 1,
      changes: [
        {
          action: 'update',
          name: 'b',
          rev: 2,
          renamedFrom: null,
          fields: [{ path: 'interval', before: '1m', after: '5s' }],
        },
        { action: 'create', name: 'c', rev: 1, fields: [] },
      ],
    });
    expect([...(await all()).values()].map(({ name, rev }) => `${name}@${rev}`)).toEqual([
      'a@1',
      'b@2',
      'c@1',
    ]);
  });

  test('is whole or nothing: one bad document, secret, name or region stops all', async () => {
    await apply([{ name: 'a' }, { name: 'keep' }]);
    const before = await all();
    const good = { name: 'new' };
    const cases: [given: Given[], status: number, path: string | undefined][] = [
      [[good, { name: 'bad', interval: '0s' }], 400, 'endpoints[1].interval'],
      [[good, { name: 'bad', request: { bearer: '<sealed>' } }], 422, 'endpoints[1].request.bearer'],
      [[good, { name: 'new' }], 400, 'endpoints[1].name'],
      [[good, { name: 'a', renamedFrom: 'keep' }], 400, 'endpoints[1].renamedFrom'],
    ];
    for (const [given, status, path] of cases) {
      const answer = await apply(given, { prune: true });
      expect([answer.status, answer.content.errors?.[0]?.path]).toEqual([status, path]);
    }
    expect((await scene.api('POST', '/apply', { endpoints: 5 })).content).toMatchObject({
      code: 'request.invalid',
    });
    expect(await all()).toEqual(before);
    expect(
      (
        await scene.db.one<{ n: number }>(
          `select count(*) as n from audit_log where subject = 'endpoint:new'`,
        )
      ).n,
    ).toBe(0);
  });

  test('prunes only what the same source made, and an update leaves the source as it was', async () => {
    await apply([{ name: 'a' }, { name: 'b' }]);
    await scene.create({ name: 'by hand', url }, 'api');
    await apply([{ name: 'other' }], { source: 'other' });
    expect((await apply([{ name: 'a' }])).content.changes).toEqual([]);
    expect(
      actions(
        await apply([{ name: 'a' }, { name: 'by hand', interval: '9s' }], { prune: true, dryRun: true }),
      ),
    ).toEqual(['update by hand', 'delete b']);
    expect(actions(await apply([{ name: 'a' }], { prune: true }))).toEqual(['delete b']);
    expect([...(await all()).keys()]).toEqual(['a', 'by hand', 'other']);
    await apply([], { source: 'other', prune: true });
    await apply([], { source: 'api', prune: true });
    expect([...(await all()).keys()]).toEqual(['a']);
  });

  test('tells in a dry run what it would do, and does nothing', async () => {
    await apply([{ name: 'a', request: { bearer: 'one' } }, { name: 'b' }]);
    const before = await all();
    const answer = await apply([{ name: 'a', request: { bearer: 'two' } }, { name: 'c' }], {
      prune: true,
      dryRun: true,
    });
    expect(answer.content).toMatchObject({
      dryRun: true,
      changes: [
        {
          action: 'update',
          name: 'a',
          rev: 2,
          fields: [{ path: 'request.bearer', before: '<sealed>', after: '<sealed>' }],
        },
        { action: 'create', name: 'c', id: null },
        { action: 'delete', name: 'b' },
      ],
    });
    expect(await all()).toEqual(before);
  });

  test('keeps the id of what is renamed, and may be repeated', async () => {
    await apply([{ name: 'a' }]);
    const { id } = (await all()).get('a') ?? {};
    const renamed = [{ name: 'b', renamedFrom: 'a' }];
    expect((await apply(renamed, { prune: true })).content.changes).toMatchObject([
      { action: 'update', id, name: 'b', renamedFrom: 'a', rev: 2 },
    ]);
    expect((await apply(renamed, { prune: true })).content).toMatchObject({ changes: [], unchanged: 1 });
    expect((await apply([{ name: 'new', renamedFrom: 'nothing' }])).content.changes).toMatchObject([
      { action: 'create' },
    ]);
  });

  test('renames along a chain in any order, and hands a name on from what is pruned', async () => {
    await apply([{ name: 'a' }, { name: 'b' }, { name: 'c' }]);
    const ids = new Map([...(await all())].map(([name, { id }]) => [name, id]));
    const chain = [
      { name: 'b', renamedFrom: 'a' },
      { name: 'd', renamedFrom: 'c' },
      { name: 'c', renamedFrom: 'b' },
    ];
    await apply(chain);
    const after = new Map([...(await all())].map(([name, { id }]) => [id, name]));
    expect([
      after.get(ids.get('a') ?? 0),
      after.get(ids.get('b') ?? 0),
      after.get(ids.get('c') ?? 0),
    ]).toEqual(['b', 'c', 'd']);
    expect((await apply(chain)).content).toMatchObject({ changes: [], unchanged: 3 });
    expect(actions(await apply([{ name: 'e', renamedFrom: 'd' }], { prune: true }))).toEqual([
      'update e',
      'delete b',
      'delete c',
    ]);
  });

  test('of two clients at once: one after the other, the last says how it is', async () => {
    const sets = Array.from({ length: 6 }, (_, set) =>
      Array.from({ length: 20 }, (_, index) => ({ name: `n${index}`, interval: `${set + 1}s` })),
    );
    const answers = await Promise.all(sets.map((set) => apply(set)));
    expect(answers.map(({ status }) => status)).toEqual(Array(6).fill(200));
    const found = [...(await all()).values()];
    expect(new Set(found.map(({ document }) => document?.interval)).size).toBe(1);
    expect(new Set(found.map(({ rev }) => rev))).toEqual(new Set([6]));
    const revs = await scene.db.many<{ count: number }>(
      `select count(*) as count from endpoint_revs r join endpoints e on e.id = r.endpoint_id
       where e.deleted_at is null and e.name like 'n%' group by e.id`,
    );
    expect(new Set(revs.map(({ count }) => count))).toEqual(new Set([6]));
    await soon(() => {
      const known = [...scene.catalog.all()].filter(({ endpoint }) => endpoint.name.startsWith('n'));
      expect(known.map(({ rev }) => rev)).toEqual(Array(20).fill(6));
    });
  });

  test('that cannot get its turn says so', async () => {
    const writer = createEndpointWriter({ ...scene, patienceMs: 50 });
    const request = { source: 'test', prune: false, dryRun: false, endpoints: [{ name: 'late', url }] };
    const who = { actor: 'token:test', regions: null, remoteIp: '192.0.2.1' };
    await scene.db.transaction(async (sql) => {
      await lockEndpoints(sql, 1000);
      await expect(writer.apply(request, who)).rejects.toMatchObject({ status: 503, code: 'endpoint.busy' });
    });
    expect((await writer.apply(request, who)).changes).toHaveLength(1);
  });
});

describe('regions an endpoint had', () => {
  test('are good for late results until they are too old', async () => {
    await apply([{ name: 'r', regions: ['eu', 'us'] }]);
    await apply([{ name: 'r', regions: ['us', 'ap'] }]);
    const { id = 0 } = (await all()).get('r') ?? {};
    await soon(() => expect(scene.catalog.regionsOf(id)).toEqual(new Set(['ap', 'eu', 'us'])));
    const restarted = await scene.catalogAgain();
    expect(restarted.regionsOf(id)).toEqual(new Set(['ap', 'eu', 'us']));
    expect(restarted.regionsOf(id)).toBe(restarted.regionsOf(id));
    scene.laterUs = 7.1 * 86_400_000_000;
    expect(scene.catalog.regionsOf(id)).toEqual(new Set(['ap', 'us']));
    scene.laterUs = 0;
    await apply([{ name: 'r' }]);
    await soon(() => expect(scene.catalog.regionsOf(id)).toBe('all'));
    expect(scene.catalog.regionsOf(987_654)).toBeUndefined();
  });
});

describe('parallax endpoints', () => {
  test('apply, diff, export and list', async () => {
    const file = await scene.file(
      'a.yaml',
      `endpoints:\n  - {name: a, url: ${url}, tags: {team: web}}\n  - {name: b, url: ${url}}\n`,
    );
    expect(await scene.cli('diff', file, '--source', 'test')).toEqual({
      code: 1,
      out: '+ a\n+ b\n2 created (not yet: this was a dry run)\n',
      err: '',
    });
    expect(await scene.cli('apply', file, '--source', 'test')).toEqual({
      code: 0,
      out: '+ a\n+ b\n2 created\n',
      err: '',
    });
    expect(await scene.cli('diff', file)).toEqual({ code: 0, out: '2 unchanged\n', err: '' });
    const changed = await scene.file('b.yaml', `endpoints:\n  - {name: a, url: ${url}, interval: 5s}\n`);
    expect((await scene.cli('apply', changed, '--source', 'test', '--prune', '--dry-run')).out).toBe(
      '~ a\n    interval: 1m → 5s\n    tags.team: no longer web\n- b\n1 updated, 1 deleted (not yet: this was a dry run)\n',
    );
    const { out } = await scene.cli('apply', changed, '--source', 'test', '--json');
    expect(JSON.parse(out)).toMatchObject({ action: 'update', name: 'a', rev: 2 });
    expect((await scene.cli('export')).out).toBe(
      `endpoints:\n  - name: a\n    url: ${url}\n    interval: 5s\n  - name: b\n    url: ${url}\n`,
    );
    expect((await scene.cli('list', '--json', '--name', 'A')).out.trim().split('\n')).toHaveLength(1);
    expect((await scene.cli('list')).out.split('\n')[1]).toMatch(
      /^a +2 +5s +all +test +https:\/\/shop\.example\/$/,
    );
  });

  test('apply takes secrets from the environment and hides them, whatever the field', async () => {
    scene.env = { ...scene.env, SHOP_TOKEN: 's3cret-token', TENANT: 's3cret-tenant' };
    const file = await scene.file(
      'secret.yaml',
      `endpoints:
  - name: shop
    url: ${url}
    request:
      bearer: ${ref('env', 'SHOP_TOKEN')}
      headers: {X-Tenant: 'id ${ref('env', 'TENANT')}'}
`,
    );
    expect(await scene.cli('apply', file, '--source', 'test')).toMatchObject({ code: 0 });
    expect((await scene.cli('export')).out).toBe(
      `endpoints:\n  - name: shop\n    url: ${url}\n    request:\n      headers:\n        X-Tenant: <sealed>\n      bearer: <sealed>\n`,
    );
    const { id = 0 } = (await all()).get('shop') ?? {};
    await soon(() =>
      expect(scene.catalog.reveal(id)?.request).toMatchObject({
        bearer: 's3cret-token',
        headers: { 'X-Tenant': 'id s3cret-tenant' },
      }),
    );
    expect(await scene.cli('diff', file)).toMatchObject({ code: 0, out: '1 unchanged\n' });
    scene.env = { ...scene.env, SHOP_TOKEN: 'an0ther', TENANT: '' };
    expect(await scene.cli('diff', file)).toEqual({
      code: 1,
      out: '',
      err: `parallax: secret.yaml:6:17: endpoints[0].request.headers.X-Tenant: ${ref('env', 'TENANT')} is not set in the environment\n`,
    });
    scene.env = { ...scene.env, TENANT: 's3cret-tenant' };
    expect((await scene.cli('diff', file)).out).toBe(
      '~ shop\n    request.bearer: another secret\n1 updated (not yet: this was a dry run)\n',
    );
  });

  test('tells every problem of every file, and what the hub refuses by file and line', async () => {
    const bad = await scene.file('bad.yaml', `endpoints:\n  - name: a\n    url: ${url}\n    intervall: 5s\n`);
    const worse = await scene.file('worse.yaml', `endpoints:\n  - url: ${url}\n`);
    expect((await scene.cli('apply', bad, worse)).err).toBe(
      `parallax: 2 problems, nothing was changed:
  bad.yaml:4:5: endpoints[0].intervall: is not a known key: did you mean 'interval'?
  worse.yaml:2:5: endpoints[0].name: is missing
`,
    );
    const one = await scene.file('one.yaml', `endpoints:\n  - {name: a, url: ${url}}\n`);
    const two = await scene.file(
      'two.yaml',
      `endpoints:\n  - {name: b, url: ${url}}\n  - url: ${url}\n    name: a\n`,
    );
    expect(await scene.cli('apply', one, two)).toEqual({
      code: 1,
      out: '',
      err: "parallax: two.yaml:4:5: name: 'a' is the name of an endpoint in one.yaml:1 already\n".replace(
        ':1 ',
        ':2 ',
      ),
    });
    const sealed = await scene.file(
      'sealed.yaml',
      `endpoints:\n  - name: x\n    url: ${url}\n    request:\n      bearer: <sealed>\n`,
    );
    expect((await scene.cli('apply', one, sealed)).err).toBe(
      'parallax: sealed.yaml:5:7: x: request.bearer: no value is sealed here: give it\n',
    );
    expect((await scene.cli('apply', 'nothing.yaml')).err).toBe(
      'parallax: nothing.yaml: there is no such file\n',
    );
    expect(await scene.cli('apply', one, '--prune')).toMatchObject({
      code: 2,
      err: expect.stringContaining('name it with --source'),
    });
    expect(await scene.cli('apply')).toMatchObject({ code: 2 });
    expect(await scene.cli('export', '--format', 'xml')).toMatchObject({ code: 2 });
    expect((await scene.cli('--help')).out).toContain('parallax endpoints diff monitors.yaml');
    expect(await all()).toEqual(new Map());
  });

  test('says which hub it cannot reach', async () => {
    const before = scene.env;
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const hub = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    server.close();
    await once(server, 'close');
    scene.env = { PARALLAX_HUB: hub, PARALLAX_TOKEN: 'x' };
    const { code, err } = await scene.cli('list');
    scene.env = before;
    expect([code, err]).toEqual([
      1,
      `parallax: cannot reach the hub at ${hub}: ECONNREFUSED. Is it running?\n`,
    ]);
  });
});
