import { randomBytes } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type ResealedRows, resealAll } from '../../../hub/trust/reseal.ts';
import { type EndpointsScene, endpointsScene } from '../endpoints/scene.ts';

let scene: EndpointsScene;
const next = randomBytes(32);
beforeEach(async () => {
  scene = await endpointsScene();
});
afterEach(() => scene.end());

const pem = (text: string) => `-----BEGIN CERTIFICATE-----\n${text}\n-----END CERTIFICATE-----\n`;
const rich = (name: string, bearer: string) => ({
  name,
  url: `https://${name}.example/health`,
  request: {
    bearer,
    headers: { 'X-Api-Key': `key of ${name}` },
    proxy: 'http://user:word@proxy.example:3128',
    tls: { ca: pem('a CA') },
  },
  secrets: ['request.tls.ca', 'request.proxy'],
});

const reseal = (over: Partial<Parameters<typeof resealAll>[0]> = {}): Promise<ResealedRows> =>
  resealAll({
    db: scene.db,
    keys: scene.keys,
    secret: next,
    also: [scene.secret],
    dryRun: false,
    signal: AbortSignal.timeout(20_000),
    ...over,
  });

/** What a hub that knows this secret alone makes of every endpoint. */
async function revealedWith(secret: Uint8Array): Promise<Record<string, unknown>> {
  const catalog = await scene.catalogAgain(secret);
  const all = [...catalog.all()].map(({ id, endpoint }) => [endpoint.name, catalog.reveal(id)?.request]);
  return Object.fromEntries(all) as Record<string, unknown>;
}

const bytesOf = () =>
  scene.db.many(
    'select id, rev, changed_at, sealed from endpoints union all select endpoint_id, rev, changed_at, sealed from endpoint_revs order by 1, 2',
  );

describe('another PARALLAX_SECRET', () => {
  test('opens everything afterwards, the old one nothing, and no probe is told of a change', async () => {
    const a = await scene.create(rich('a', 'first'));
    await scene.create(rich('b', 'second'));
    await scene.create({ name: 'plain', url: 'https://plain.example/' });
    const gone = await scene.create(rich('gone', 'third'));
    await scene.api('PATCH', `/${a.id}`, { request: { bearer: 'changed' } }, { match: '*' });
    await scene.api('DELETE', `/${gone.id}`);
    const before = await revealedWith(scene.secret);
    const versions = await scene.db.many('select id, rev, changed_at from endpoints order by id');

    // Endpoints a, b and gone; what they were: a twice, b, gone twice.
    expect(await reseal({ rowsAtOnce: 2 })).toEqual({ looked: 8, changed: 8, lost: [], untrusted: [] });

    expect(await scene.db.many('select id, rev, changed_at from endpoints order by id')).toEqual(versions);
    expect(before).toMatchObject({
      a: { bearer: 'changed', proxy: 'http://user:word@proxy.example:3128', tls: { ca: pem('a CA') } },
      b: { bearer: 'second', headers: { 'X-Api-Key': 'key of b' } },
    });
    expect(await revealedWith(next)).toEqual(before);
    await expect(scene.catalogAgain(scene.secret)).rejects.toThrow(/^PARALLAX_SECRET is not the one/);
    // And once more: nothing is left to do, no byte changes.
    const bytes = await bytesOf();
    expect(await reseal()).toMatchObject({ looked: 8, changed: 0 });
    expect(await bytesOf()).toEqual(bytes);
    expect(await scene.db.many("select action from audit_log where action = 'secret.rotate'")).toHaveLength(
      2,
    );
  });

  test('interrupted, leaves hubs that know both with everything, and goes on where it was', async () => {
    for (let n = 0; n < 7; n += 1) await scene.create(rich(`e${n}`, `bearer ${n}`));
    const stopping = new AbortController();
    const interrupted = reseal({
      rowsAtOnce: 2,
      signal: stopping.signal,
      onProgress: ({ changed }) => changed >= 4 && stopping.abort(),
    });
    await expect(interrupted).rejects.toThrow();
    const mixed = await scene.catalogAgain(scene.secret, [next]);
    for (const { id } of mixed.all()) expect(mixed.reveal(id)?.request).toHaveProperty('bearer');
    // The database is still the old secret's: one who knows the new alone would lose the rest.
    await expect(scene.catalogAgain(next)).rejects.toThrow(/PARALLAX_SECRET is not the one/);
    expect(await reseal({ rowsAtOnce: 2 })).toMatchObject({ looked: 14, changed: 10 });
    expect(Object.keys(await revealedWith(next))).toHaveLength(7);
  });

  test('only told what would be, changes nothing', async () => {
    await scene.create(rich('a', 'first'));
    const bytes = await bytesOf();
    expect(await reseal({ dryRun: true })).toMatchObject({ looked: 2, changed: 2 });
    expect(await bytesOf()).toEqual(bytes);
    expect((await revealedWith(scene.secret)).a).toMatchObject({ bearer: 'first' });
  });

  test('without the one they were sealed with, touches none of them and takes nobody away from the old one', async () => {
    await scene.create(rich('a', 'first'));
    const bytes = await bytesOf();
    expect(await reseal({ also: [randomBytes(32)] })).toMatchObject({ changed: 0, lost: ['a'] });
    expect(await bytesOf()).toEqual(bytes);
    expect((await revealedWith(scene.secret)).a).toMatchObject({ bearer: 'first' });
  });

  test('signs no row that the hub did not write', async () => {
    const a = await scene.create(rich('a', 'first'));
    await scene.db.run("update endpoints set source = 'evil' where id = $1", [a.id]);
    expect(await reseal()).toMatchObject({ untrusted: ['a'], lost: [] });
    expect((await revealedWith(next)).a).toBeUndefined();
  });
});
