import { zstdDecompressSync } from 'node:zlib';
import { afterEach, describe, expect, test } from 'vitest';
import { tellChange } from '../../../hub/store/changes.ts';
import { sha256Hex } from '../../../shared/assignment.ts';
import { verifyHubToken } from '../../../shared/hub-token.ts';
import type { LeaseAnswer } from '../../../shared/lease.ts';
import { shardOf } from '../../../shared/slot.ts';
import { newStream } from '../ingest/scene.ts';
import { until } from '../ingest/until.ts';
import {
  type LeaseProbe,
  type LeaseScene,
  type LeaseSceneOptions,
  leaseScene,
} from '../trust/lease-scene.ts';
import { publicUrl } from '../trust/scene.ts';

const opened: LeaseScene[] = [];
afterEach(async () => {
  for (const scene of opened.splice(0).reverse()) await scene.end();
});

async function open(options: LeaseSceneOptions = {}): Promise<LeaseScene> {
  const scene = await leaseScene(options);
  opened.push(scene);
  return scene;
}

const shop = { name: 'shop', url: 'https://shop.example/health' };
const codeOf = async (response: Response) => [response.status, (await response.json()).code];

/** A probe with the whole region, and its lease. */
async function settled(scene: LeaseScene, region = 'eu-west') {
  if ([...scene.catalog.all()].length === 0) scene.catalog.set(1, shop);
  const probe = await scene.join(region);
  await scene.askUntil(probe, (manifest) => manifest.shards.length > 0);
  const lease = await scene.ask(probe);
  return { probe, lease };
}

describe('a lease', () => {
  test('names a manifest whose shards hold the endpoints of the region, by digest', async () => {
    const scene = await open({ waitMs: 2000 });
    scene.catalog.set(1, shop);
    scene.catalog.set(2, { ...shop, name: 'elsewhere', regions: ['us-east'] });
    scene.catalog.set(3, { ...shop, name: 'off', enabled: false });
    const startedMs = performance.now();
    const { probe, lease } = await settled(scene);
    expect(performance.now() - startedMs).toBeLessThan(3000);
    expect(lease).toMatchObject({
      iss: publicUrl,
      aud: String(probe.id),
      region: { id: probe.regionId, name: 'eu-west' },
      kafka: null,
      jobs: [],
      lingerMs: 1000,
    });
    expect(lease.exp - lease.iat).toBe(21_600);
    expect(Math.abs(lease.now - Date.now() * 1000)).toBeLessThan(5_000_000);
    const { shards } = await scene.manifest(probe, lease.manifest);
    expect(shards).toMatchObject([{ shard: shardOf(1), rank: 0, until: null }]);
    const document = await scene.shard(probe, shards[0]?.digest ?? '');
    expect(document).toMatchObject({ regionId: probe.regionId, shard: shardOf(1) });
    expect(document.endpoints).toMatchObject([
      { id: 1, rev: 1, url: shop.url, intervalMs: 60_000, timeoutMs: 10_000 },
    ]);
  });

  test('is signed and newer although nothing changed', async () => {
    const scene = await open({ waitMs: 300 });
    scene.catalog.set(1, shop);
    const { probe, lease } = await settled(scene);
    const startedMs = performance.now();
    const next = await scene.ask(probe, { have: lease.version, manifest: lease.manifest });
    expect(performance.now() - startedMs).toBeGreaterThan(250);
    expect(next.manifest).toBe(lease.manifest);
    expect(next.version).toBeGreaterThan(lease.version);
  });

  test('moves its version forward whatever happened to the database and the clock', async () => {
    const scene = await open({ waitMs: 1000 });
    const probe = await scene.join('eu-west');
    let { version } = await scene.ask(probe);
    const expectNewer = async () => {
      const next = await scene.ask(probe, { have: version });
      expect(next.version).toBeGreaterThan(version);
      version = next.version;
    };
    await scene.trust.db.run('update probe_presence set lease_version = 1');
    await expectNewer();
    await scene.trust.db.run('delete from probe_presence');
    await expectNewer();
    scene.trust.later = -1000;
    await expectNewer();
    version += 86_400_000;
    await expectNewer();
    // What a hostile probe says it has blocks nobody, itself neither.
    expect((await scene.ask(probe, { have: Number.MAX_SAFE_INTEGER })).version).toBeLessThan(2 ** 53);
    expect((await scene.ask(probe, { have: 0 })).version).toBeGreaterThan(version);
  });

  test('of another probe is refused by who verifies it', async () => {
    const scene = await open({ waitMs: 1000 });
    const [one, other] = [await scene.join('eu-west'), await scene.join('eu-west')];
    const { lease = '' } = (await (await scene.post(one)).json()) as LeaseAnswer;
    const verified = (probe: LeaseProbe) =>
      verifyHubToken(lease, scene.trust.keys.leaseKeys, {
        typ: 'lease+jwt',
        issuer: publicUrl,
        audience: String(probe.id),
      });
    expect((await verified(one)).aud).toBe(String(one.id));
    await expect(verified(other)).rejects.toMatchObject({ code: 'audience' });
  });

  test('tells of Kafka where the hub has one for probes', async () => {
    const scene = await open({
      // Its region's documents are made meanwhile, which takes longer on a busy machine.
      waitMs: 5000,
      kafka: {
        brokers: ['kafka.example:9093'],
        auth: 'oauthbearer',
        tls: true,
        ca: null,
        tokenTtlSeconds: 600,
      },
    });
    const probe = await scene.join('eu-west');
    expect((await scene.ask(probe)).kafka).toEqual({
      brokers: ['kafka.example:9093'],
      topic: 'test.parallax.results.v1',
      auth: 'oauthbearer',
      tls: true,
      ca: null,
    });
  });

  test.each([
    ['{', 400, 'request.invalid'],
    [JSON.stringify({ have: 0 }), 400, 'request.invalid'],
    ['x'.repeat(70_000), 413, 'request.too_large'],
  ])('is not given for %.20s', async (body, status, code) => {
    const scene = await open({ waitMs: 1000 });
    const probe = await scene.join('eu-west');
    const answer = await scene.postBytes(probe, body);
    expect(await codeOf(answer)).toEqual([status, code]);
    expect(await codeOf(await fetch(`${scene.origin}/v1/lease`, { method: 'POST', body }))).toEqual(
      // Not even read.
      [401, 'proof.missing'],
    );
  });
});

describe('a poll that waits', () => {
  test('is answered within 2 s of an edit, with another digest of the one shard alone', async () => {
    const scene = await open();
    for (let id = 1; id <= 50; id += 1) scene.catalog.set(id, { ...shop, name: `shop ${id}` });
    const { probe, lease } = await settled(scene);
    const polled = scene.ask(probe, { have: lease.version, manifest: lease.manifest });
    await until(() => scene.leases.desk.waiting() === 1);
    const editedMs = performance.now();
    scene.catalog.set(7, { ...shop, name: 'shop 7', interval: '10s' });
    const next = await polled;
    expect(performance.now() - editedMs).toBeLessThan(2000);
    const [before, after] = [
      await scene.manifest(probe, lease.manifest),
      await scene.manifest(probe, next.manifest),
    ];
    const other = after.shards.filter(({ digest }) => !before.shards.some((one) => one.digest === digest));
    expect(other.map(({ shard }) => shard)).toEqual([shardOf(7)]);
    const { endpoints } = await scene.shard(probe, other[0]?.digest ?? '');
    expect(endpoints.find(({ id }) => id === 7)).toMatchObject({ rev: 2, intervalMs: 10_000 });
  });

  test('hears of its durable results, and of nobody else s', async () => {
    const scene = await open();
    const { probe } = await settled(scene);
    const other = await scene.join('us-east');
    const [mine, foreign] = [newStream(), newStream()];
    const insert = 'insert into streams (stream, probe_id, up_to) values ($1, $2, $3)';
    await scene.trust.db.run(insert, [mine, probe.id, 3]);
    await scene.trust.db.run(insert, [foreign, other.id, 9]);
    const streams = [mine, foreign].map((stream) => ({ stream, lastSeq: 12 }));
    const lease = await scene.ask(probe, { streams });
    expect(lease.durable).toEqual([{ stream: mine, upTo: 3 }]);
    const polled = scene.ask(probe, { streams, have: lease.version, manifest: lease.manifest });
    await until(() => scene.leases.desk.waiting() === 1);
    const movedMs = performance.now();
    await scene.trust.db.transaction(async (sql) => {
      await sql.run('update streams set up_to = up_to + 5');
      await tellChange(sql, 'results');
    });
    expect((await polled).durable).toEqual([{ stream: mine, upTo: 8 }]);
    expect(performance.now() - movedMs).toBeLessThan(1500);
  });

  test('hears of moving results not more than every 500 ms', async () => {
    const scene = await open();
    const { probe } = await settled(scene);
    const stream = newStream();
    await scene.trust.db.run('insert into streams (stream, probe_id, up_to) values ($1, $2, 0)', [
      stream,
      probe.id,
    ]);
    const moving = setInterval(() => {
      void scene.trust.db
        .transaction(async (sql) => {
          await sql.run('update streams set up_to = up_to + 1');
          await tellChange(sql, 'results');
        })
        .catch(() => undefined);
    }, 30);
    let lease = await scene.ask(probe, { streams: [{ stream, lastSeq: 1 }] });
    let answers = 0;
    for (const startedMs = performance.now(); performance.now() - startedMs < 2500; answers += 1) {
      const before = lease.durable[0]?.upTo ?? 0;
      lease = await scene.ask(probe, {
        have: lease.version,
        manifest: lease.manifest,
        streams: [{ stream, lastSeq: 1 }],
      });
      expect(lease.durable[0]?.upTo).toBeGreaterThan(before);
    }
    clearInterval(moving);
    expect(answers).toBeGreaterThan(2);
    expect(answers).toBeLessThan(7);
  });

  test('of a probe that is revoked is answered with the revocation, and so is every one after', async () => {
    const scene = await open();
    scene.catalog.set(1, shop);
    const { probe, lease } = await settled(scene);
    const polled = scene.post(probe, { have: lease.version, manifest: lease.manifest });
    await until(() => scene.leases.desk.waiting() === 1);
    const revokedMs = performance.now();
    await scene.trust.api('POST', `/api/v1/probes/${probe.id}/revoke`, {});
    const expectRevoked = async (response: Response) => {
      const { revoked = '', lease: given } = (await response.json()) as LeaseAnswer;
      expect(given).toBeUndefined();
      const claims = await verifyHubToken(revoked, scene.trust.keys.leaseKeys, {
        typ: 'revoked+jwt',
        issuer: publicUrl,
        audience: String(probe.id),
      });
      expect(claims.reason).not.toBe('');
    };
    await expectRevoked(await polled);
    expect(performance.now() - revokedMs).toBeLessThan(2000);
    await expectRevoked(await scene.post(probe));
    expect(await codeOf(await scene.get(probe, lease.manifest))).toEqual([403, 'probe.revoked']);
  });

  test('of a pending probe ends with 403, or with a lease as soon as it is approved', async () => {
    const scene = await open({ waitMs: 1000 });
    const probe = await scene.join('eu-west', { approve: true });
    const startedMs = performance.now();
    const refused = await scene.post(probe);
    expect(performance.now() - startedMs).toBeGreaterThan(900);
    expect(refused.headers.get('retry-after')).toBe('1');
    expect(await codeOf(refused)).toEqual([403, 'probe.pending']);
    expect(await codeOf(await scene.get(probe, '0'.repeat(64)))).toEqual([403, 'probe.pending']);
    const polled = scene.ask(probe);
    await until(() => scene.leases.desk.waiting() === 1);
    await scene.trust.api('POST', `/api/v1/probes/${probe.id}/approve`, {});
    expect((await polled).aud).toBe(String(probe.id));
  });

  test('gives way to a newer one of the same probe, whose lease is the newer', async () => {
    const scene = await open({ waitMs: 3000 });
    const { probe, lease } = await settled(scene);
    const first = scene.ask(probe, { have: lease.version, manifest: lease.manifest });
    await until(() => scene.leases.desk.waiting() === 1);
    const second = scene.ask(probe, { have: lease.version, manifest: lease.manifest });
    const older = await first;
    expect(scene.leases.desk.waiting()).toBe(1);
    expect((await second).version).toBeGreaterThan(older.version);
  });

  test('is forgotten when its probe goes away', async () => {
    const scene = await open();
    const { probe, lease } = await settled(scene);
    const gone = new AbortController();
    const polled = scene.post(probe, { have: lease.version, manifest: lease.manifest }, gone.signal);
    await until(() => scene.leases.desk.waiting() === 1);
    gone.abort();
    await expect(polled).rejects.toThrow();
    await until(() => scene.leases.desk.waiting() === 0);
  });

  test('is answered when the hub stops', async () => {
    const scene = await open();
    const { probe, lease } = await settled(scene);
    const polled = scene.ask(probe, { have: lease.version, manifest: lease.manifest });
    await until(() => scene.leases.desk.waiting() === 1);
    await scene.leases.stop();
    expect((await polled).version).toBeGreaterThan(lease.version);
  });

  test('is answered at once when a job waits, which is given once', async () => {
    const jobs = [{ kind: 'confirm' as const, endpointId: 1, scheduledAt: 5 }];
    const scene = await open({
      waitMs: 300,
      jobs: { waiting: () => jobs.length, take: (_, most) => jobs.splice(0, most) },
    });
    const probe = await scene.join('eu-west');
    const leases = [await scene.ask(probe), await scene.ask(probe)];
    expect(leases.map((lease) => lease.jobs.length)).toEqual([1, 0]);
  });

  test('five at once of one probe are too many', async () => {
    const scene = await open({ waitMs: 500 });
    const probe = await scene.join('eu-west', { approve: true });
    const answers = await Promise.all(Array.from({ length: 5 }, () => scene.post(probe)));
    expect(answers.map((answer) => answer.status).sort()).toEqual([403, 403, 403, 403, 429]);
  });
});

describe('assignments', () => {
  test('are served packed, tagged and for the probe alone', async () => {
    const scene = await open({ waitMs: 200 });
    for (let id = 1; id <= 300; id += 1) scene.catalog.set(id, { ...shop, name: `shop ${id}` });
    const { probe, lease } = await settled(scene);
    const bytesOf = async (response: Response) => Buffer.from(await response.arrayBuffer());
    const plain = await scene.get(probe, lease.manifest, { 'accept-encoding': 'identity' });
    expect(plain.headers.get('content-encoding')).toBeNull();
    expect(plain.headers.get('etag')).toBe(`"${lease.manifest}"`);
    expect(plain.headers.get('cache-control')).toBe('private, max-age=31536000, immutable');
    const bytes = await bytesOf(plain);
    expect(sha256Hex(bytes)).toBe(lease.manifest);
    // fetch inflates gzip, and does not know zstd.
    const gzip = await scene.get(probe, lease.manifest, { 'accept-encoding': 'gzip' });
    expect([gzip.headers.get('content-encoding'), gzip.headers.get('etag')]).toEqual([
      'gzip',
      `"${lease.manifest}-gzip"`,
    ]);
    expect((await bytesOf(gzip)).equals(bytes)).toBe(true);
    const zstd = await scene.get(probe, lease.manifest, { 'accept-encoding': 'gzip;q=0.5, zstd' });
    expect(zstd.headers.get('content-encoding')).toBe('zstd');
    const packed = await bytesOf(zstd);
    const unpacked = sha256Hex(packed) === lease.manifest ? packed : zstdDecompressSync(packed);
    expect(unpacked.equals(bytes)).toBe(true);
    const again = await scene.get(probe, lease.manifest, { 'if-none-match': `"${lease.manifest}"` });
    expect([again.status, await again.text()]).toEqual([304, '']);
  });

  test('of others, of nobody and of long ago are all the same 404', async () => {
    const scene = await open({ waitMs: 200 });
    for (let id = 1; id <= 30; id += 1) scene.catalog.set(id, { ...shop, name: `shop ${id}` });
    const { probe, lease } = await settled(scene);
    const { probe: stranger, lease: foreign } = await settled(scene, 'us-east');
    const mate = await scene.join('eu-west');
    const mates = await scene.ask(mate);
    const own = await scene.manifest(probe, lease.manifest);
    const theirs = await scene.manifest(stranger, foreign.manifest);
    const given = await scene.askUntil(mate, ({ shards }) => shards.length > 0);
    const notGiven = own.shards.find(({ shard }) => !given.shards.some((one) => one.shard === shard));
    const digests = [
      foreign.manifest,
      mates.manifest,
      theirs.shards[0]?.digest ?? '',
      '0'.repeat(64),
      'nonsense',
      lease.manifest.toUpperCase(),
    ];
    const answers = await Promise.all(digests.map(async (digest) => (await scene.get(probe, digest)).text()));
    answers.push(await (await scene.get(mate, notGiven?.digest ?? '')).text());
    expect(new Set(answers).size).toBe(1);
    expect(JSON.parse(answers[0] ?? '')).toMatchObject({ status: 404, code: 'assignment.unknown' });
    expect((await scene.get(stranger, own.shards[0]?.digest ?? '')).status).toBe(404);
    const unsigned = await fetch(`${scene.origin}/v1/assignments/${lease.manifest}`);
    expect(await codeOf(unsigned)).toEqual([401, 'proof.missing']);
  });

  test('are not had by who can only write to the database', async () => {
    const scene = await open({ waitMs: 200 });
    scene.catalog.set(1, shop);
    const { probe, lease } = await settled(scene);
    const stranger = await scene.join('us-east');
    const own = await scene.manifest(probe, lease.manifest);
    const shard = own.shards[0];
    // The stranger gives itself a shard of the other region, and moves itself there.
    await scene.trust.db.run(
      `insert into shard_owners (region_id, shard, rank, probe_id, from_us) values ($1, $2, 1, $3, 0)`,
      [probe.regionId, shard?.shard, stranger.id],
    );
    await scene.trust.db.transaction((sql) => tellChange(sql, 'shards'));
    await scene.leases.owners.refresh();
    expect((await scene.get(stranger, shard?.digest ?? '')).status).toBe(404);
    const digests = (await scene.askUntil(stranger, (manifest) => manifest.shards.length > 0)).shards;
    expect(digests.map(({ digest }) => digest)).not.toContain(shard?.digest);
    await scene.trust.db.run('update probes set region_id = $1 where id = $2', [probe.regionId, stranger.id]);
    await scene.trust.registry.refresh();
    expect((await scene.get(stranger, shard?.digest ?? '')).status).toBe(401);
  });

  test('that an edit has replaced are still there for who was told of them', async () => {
    const scene = await open({ waitMs: 200 });
    scene.catalog.set(1, shop);
    const { probe, lease } = await settled(scene);
    const before = await scene.manifest(probe, lease.manifest);
    scene.catalog.set(1, { ...shop, interval: '5s' });
    await scene.askUntil(probe, ({ shards }) => shards[0]?.digest !== before.shards[0]?.digest);
    expect((await scene.manifest(probe, lease.manifest)).shards).toEqual(before.shards);
    expect((await scene.shard(probe, before.shards[0]?.digest ?? '')).endpoints[0]?.rev).toBe(1);
  });
});

describe('two replicas', () => {
  test('give the same manifests, each serves what the other named, and nobody is sent to and fro', async () => {
    const one = await open({ waitMs: 600 });
    one.catalog.set(1, shop);
    one.catalog.set(2, shop);
    const two = await open({ beside: one, waitMs: 600 });
    const { probe, lease } = await settled(one);
    await until(async () => (await two.ask(probe)).manifest === (await one.ask(probe)).manifest);
    one.catalog.set(1, { ...shop, interval: '7s' });
    // Whichever comes to it first: what it names, the other has or makes.
    const first = await one.askUntil(probe, ({ shards }) => shards.length === 2);
    const moved = await one.ask(probe, { have: lease.version, manifest: lease.manifest });
    expect((await two.manifest(probe, moved.manifest)).shards).toEqual(
      (await one.manifest(probe, moved.manifest)).shards,
    );
    expect(first.shards).toHaveLength(2);
    // With everything in force, polls that go round between the two wait their time.
    let held = moved;
    for (const replica of [two, one, two, one]) {
      held = await replica.ask(probe, { have: held.version, manifest: held.manifest });
    }
    const startedMs = performance.now();
    for (const replica of [two, one]) {
      held = await replica.ask(probe, { have: held.version, manifest: held.manifest });
    }
    expect(performance.now() - startedMs).toBeGreaterThan(1000);
  });

  test('a moved shard is handed over by both, 5 s ahead', async () => {
    const one = await open({ waitMs: 1000 });
    for (let id = 1; id <= 40; id += 1) one.catalog.set(id, { ...shop, name: `shop ${id}` });
    const two = await open({ beside: one, waitMs: 1000 });
    const { probe } = await settled(one);
    const newcomer = await two.join('eu-west');
    const theirs = await two.askUntil(newcomer, ({ shards }) => shards.length > 0);
    const mine = await one.askUntil(probe, ({ shards }) => shards.some((shard) => shard.until !== null));
    const aheadUs = (theirs.shards[0]?.from ?? 0) - Date.now() * 1000;
    expect(aheadUs).toBeGreaterThan(2_000_000);
    for (const shard of theirs.shards) {
      expect(mine.shards.find((own) => own.shard === shard.shard)).toMatchObject({
        until: shard.from,
        digest: shard.digest,
      });
      // Both can fetch it from either.
      expect((await one.get(newcomer, shard.digest)).status).toBe(200);
      expect((await two.get(probe, shard.digest)).status).toBe(200);
    }
  });
});
