import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { beforeAll, expect, test } from 'vitest';
import { openDatabase } from '../../hub/store/database.ts';
import { testDatabase } from '../harness/postgres.ts';
import { until } from '../hub/ingest/until.ts';
import { ownNetwork } from './own-network.ts';
import { buildOnce } from './up-process.ts';

const bearer = 'what opens the shop';

beforeAll(buildOnce);

test('PARALLAX_SECRET is changed while a probe checks on with the credential, and the old one is good for nothing then', async () => {
  const database = await testDatabase();
  const db = openDatabase({ url: database.url, maxConnections: 2 });
  const network = await ownNetwork();
  let [right, wrong] = [0, 0];
  const shop = createServer((request, response) => {
    if (request.headers.authorization === `Bearer ${bearer}`) right += 1;
    else wrong += 1;
    response.end('open');
  }).listen(0, '127.0.0.1');
  await once(shop, 'listening');
  const { port } = shop.address() as AddressInfo;
  const [older, newer] = [network.secret, randomBytes(32).toString('base64')];
  const base = { DATABASE_URL: database.url };
  const local = { ...base, PARALLAX_KEYS: network.keysDir };
  const goesOn = async () => {
    const before = right;
    await until(() => right > before + 5, 30_000);
  };
  try {
    // Knows the new one, seals with the old one.
    let hub = await network.startHub({ ...base, PARALLAX_SECRET_ALSO: newer });
    await network.startProbe('eu-west', 'eu-west', [`127.0.0.1/32:${port}`]);
    const shopAt = (name: string) => ({
      name,
      url: `http://127.0.0.1:${port}/${name}`,
      interval: '1s',
      timeout: '500ms',
      request: { bearer },
    });
    await network.apply([shopAt('first'), shopAt('second')]);
    await goesOn();
    const early = await network.cli(['secret', 'rotate'], {
      ...local,
      PARALLAX_SECRET: newer,
      PARALLAX_SECRET_ALSO: older,
    });
    expect([early.code, early.stderr]).toEqual([
      1,
      expect.stringMatching(/still seals with another secret: restart it as in step 3/),
    ]);

    expect(await hub.stop()).toBe(0);
    const both = { PARALLAX_SECRET: newer, PARALLAX_SECRET_ALSO: older };
    hub = await network.startHub({ ...base, ...both });
    await network.apply([shopAt('first'), shopAt('second'), shopAt('third')]);
    await goesOn();
    await until(
      async () =>
        (await db.many("select 1 from hub_replicas where seen_at > now() - interval '9 s'")).length === 1,
    );
    const rotated = await network.cli(['secret', 'rotate', '--json'], { ...local, ...both });
    expect([rotated.code, rotated.stderr]).toEqual([0, '']);
    // The third was sealed with the new one already, and so was what it was before.
    expect(JSON.parse(rotated.stdout)).toMatchObject({ looked: 6, changed: 4, lost: [], untrusted: [] });
    await goesOn();

    await hub.stop('SIGKILL');
    await expect(network.startHub({ ...base, PARALLAX_SECRET: older })).rejects.toThrow(
      /PARALLAX_SECRET is not the one that the credentials of 3 endpoints/,
    );
    hub = await network.startHub({ ...base, PARALLAX_SECRET: newer });
    await goesOn();
    // A probe that comes new is given them by a hub that knows the new secret alone.
    await network.startProbe('us-east', 'us-east', [`127.0.0.1/32:${port}`]);
    await until(
      async () =>
        (
          await db.many(
            "select 1 from latest_results l join regions r on r.id = l.region_id where r.name = 'us-east' and outcome = 0",
          )
        ).length === 3,
      60_000,
    );
    expect(wrong).toBe(0);
    expect(await hub.stop()).toBe(0);
  } finally {
    await network.end();
    shop.closeAllConnections();
    shop.close();
    await db.end();
    await database.drop();
  }
}, 240_000);
