import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type Database, openDatabase } from '../../../hub/store/database.ts';
import { startRegistry } from '../../../hub/trust/load-registry.ts';
import { testDatabase } from '../../harness/postgres.ts';
import { quiet } from '../ingest/scene.ts';
import { emptyCatalog, newKey, type TestKey, type TrustScene, trustScene } from './scene.ts';

let hub: TrustScene;
let key: TestKey;
let id: number;
beforeAll(async () => {
  hub = await trustScene();
  await hub.mint({ region: 'private' });
});
afterAll(() => hub.end());
beforeEach(async () => {
  key = newKey();
  const { token } = await hub.mint({ region: 'eu-west' });
  ({ probeId: id } = (await hub.enroll(key, token)).content);
  hub.complaints.length = 0;
});

/** What the hub says to this key once it has seen what the database now holds. */
async function seen(by: TestKey = key): Promise<string | null> {
  await hub.registry.refresh();
  return (await hub.signed(by, '/v1/echo/a')).code;
}

describe('one who can only write to the database', () => {
  test('cannot make a probe', async () => {
    const forged = newKey();
    await hub.db.run(
      `insert into probes (region_id, name, public_key, thumbprint, status, enrollment, mac)
       select region_id, name, $2, $3, status, enrollment, mac from probes where id = $1`,
      [id, forged.jwk.x, forged.kid],
    );
    expect(await seen(forged)).toBe('probe.unknown');
    expect(await seen()).toBeNull();
    expect(hub.complaints).toHaveLength(1);
    await hub.registry.refresh();
    expect(hub.complaints).toHaveLength(1);
    const { content } = await hub.api<{ probes: { trusted: boolean; id: number; thumbprint: string }[] }>(
      'GET',
      '/api/v1/probes',
    );
    const row = content.probes.find(({ thumbprint }) => thumbprint === forged.kid);
    expect(row?.trusted).toBe(false);
    // Nor have the hub sign it by approving or revoking it.
    for (const action of ['approve', 'revoke']) {
      const answer = await hub.api('POST', `/api/v1/probes/${row?.id}/${action}`);
      expect([answer.status, answer.code]).toEqual([409, 'probe.untrusted']);
    }
    const { token } = await hub.mint({ region: 'eu-west' });
    expect((await hub.enroll(forged, token)).code).toBe('probe.untrusted');
  });

  const changes: [what: string, statement: string][] = [
    ['move it to another region', "region_id = (select id from regions where name = 'private')"],
    ['give it another key', `public_key = '${newKey().jwk.x}'`],
    ['give it another name', "name = 'other'"],
    ['say that it came by another token', 'enrollment = gen_random_uuid()'],
    ['revoke it quietly', "status = 'revoked'"],
    ['cut its HMAC', 'mac = substring(mac from 1 for 16)'],
    ['empty its HMAC', "mac = ''"],
  ];
  test.each(changes)('cannot %s', async (_, set) => {
    expect(await seen()).toBeNull();
    await hub.db.run(`update probes set ${set} where id = $1`, [id]);
    expect(await seen()).toBe('probe.unknown');
  });

  test('cannot let in one that waits or came to be revoked', async () => {
    const { token } = await hub.mint({ region: 'eu-west', approve: true });
    const waits = newKey();
    const { content } = await hub.enroll(waits, token);
    await hub.db.run("update probes set status = 'active' where id = $1", [content.probeId]);
    expect(await seen(waits)).toBe('probe.unknown');
    await hub.api('POST', `/api/v1/probes/${id}/revoke`);
    expect(await seen()).toBe('probe.revoked');
    await hub.db.run("update probes set status = 'active', revoked_at = null where id = $1", [id]);
    expect(await seen()).toBe('probe.unknown');
  });

  test('cannot swap two probes, nor the names of two regions', async () => {
    const other = newKey();
    const { content } = await hub.enroll(other, (await hub.mint({ region: 'private' })).token);
    await hub.db.run(
      `update probes p set mac = q.mac, region_id = q.region_id from probes q
       where (p.id, q.id) in (($1, $2), ($2, $1))`,
      [id, content.probeId],
    );
    expect([await seen(), await seen(other)]).toEqual(['probe.unknown', 'probe.unknown']);
    await hub.db.run(
      `update probes p set mac = q.mac, region_id = q.region_id from probes q
       where (p.id, q.id) in (($1, $2), ($2, $1))`,
      [id, content.probeId],
    );
    expect([await seen(), await seen(other)]).toEqual([null, null]);
    const swap = async () => {
      await hub.db.run("update regions set name = 'aside' where name = 'eu-west'");
      await hub.db.run("update regions set name = 'eu-west' where name = 'private'");
      await hub.db.run("update regions set name = 'private' where name = 'aside'");
    };
    await swap();
    expect([await seen(), await seen(other)]).toEqual(['probe.unknown', 'probe.unknown']);
    await swap();
  });
});

describe('the registry', () => {
  test('does not start with the keys of another database, unless there is nothing to lose', async () => {
    const start = (db: Database, hmac: Uint8Array) =>
      startRegistry({
        db,
        keys: { hmac },
        catalog: emptyCatalog,
        changes: { subscribe: () => () => undefined, stop: async () => undefined },
        log: quiet,
      });
    await expect(start(hub.db, randomBytes(32))).rejects.toMatchObject({
      name: 'KeysError',
      code: 'foreign',
      message: expect.stringMatching(/are not those that the \d+ probes and endpoints in this database/),
    });
    (await start(hub.db, hub.keys.hmac)).stop();
    const { url, drop } = await testDatabase();
    const empty = openDatabase({ url });
    const [first, second] = [randomBytes(32), randomBytes(32)];
    (await start(empty, first)).stop();
    (await start(empty, second)).stop();
    await empty.run(`insert into regions (name) values ('x')`);
    await empty.run(
      `insert into probes (region_id, name, public_key, thumbprint, status, enrollment, mac)
       values (1, 'x', 'x', 'x', 'active', gen_random_uuid(), '')`,
    );
    await expect(start(empty, first)).rejects.toMatchObject({ code: 'foreign' });
    (await start(empty, second)).stop();
    await empty.end();
    await drop();
  });

  test('hears of a region and of a probe that another replica let in', async () => {
    const other = await trustScene({ beside: hub });
    try {
      const fresh = newKey();
      const { token } = await hub.mint({ region: 'new-here' });
      const { content } = await hub.enroll(fresh, token);
      await expect
        .poll(() => other.registry.probeById(content.probeId)?.kid, { timeout: 2000 })
        .toBe(fresh.kid);
      expect(other.registry.regionById(content.region.id)).toEqual({
        id: content.region.id,
        name: 'new-here',
      });
      expect(other.registry.regions().map(({ name }) => name)).toContain('new-here');
    } finally {
      await other.end();
    }
  });

  test('a look that is asked for while another is under way sees what was written before it was asked', async () => {
    for (let round = 0; round < 20; round += 1) {
      const early = hub.registry.refresh();
      const { id: made } = await hub.db.one<{ id: number }>(
        'insert into regions (name) values ($1) returning id',
        [`round-${round}`],
      );
      await hub.registry.refresh();
      expect(hub.registry.regionById(made)?.name).toBe(`round-${round}`);
      await early;
    }
  });

  test('what is revoked here stays so when a look that began before comes to its end', async () => {
    let gate: Promise<void> | null = null;
    const wasRead = Promise.withResolvers<void>();
    const db: Database = {
      ...hub.db,
      async many<Row extends object>(text: string, values?: readonly unknown[]) {
        const rows = await hub.db.many<Row>(text, values);
        if (text.includes('order by p.id') && gate) {
          wasRead.resolve();
          await gate;
        }
        return rows;
      },
    };
    const changes = { subscribe: () => () => undefined, stop: async () => undefined };
    const registry = await startRegistry({ db, keys: hub.keys, catalog: emptyCatalog, changes, log: quiet });
    const { promise, resolve: open } = Promise.withResolvers<void>();
    gate = promise;
    const early = registry.refresh();
    await wasRead.promise;
    await hub.api('POST', `/api/v1/probes/${id}/revoke`);
    await registry.refresh(key.kid);
    expect(registry.probeById(id)?.status).toBe('revoked');
    gate = null;
    open();
    await early;
    expect(registry.probeById(id)?.status).toBe('revoked');
    registry.stop();
  });

  test('one look at a probe alone finds it, changed or gone wrong', async () => {
    const kid = key.kid;
    await hub.db.run("update probes set name = 'other' where id = $1", [id]);
    await hub.registry.refresh(kid);
    expect([hub.registry.probeByKid(kid), hub.registry.probeById(id)]).toEqual([undefined, undefined]);
    await hub.db.run("update probes set name = 'probe' where id = $1", [id]);
    await hub.registry.refresh(kid);
    expect(hub.registry.probeByKid(kid)).toMatchObject({ id, status: 'active' });
    await hub.registry.refresh('x'.repeat(43));
  });
});
