import { afterEach, expect, test } from 'vitest';
import { type Database, openDatabase } from '../../../hub/store/database.ts';
import { readHubNote } from '../../../hub/store/hub-notes.ts';
import { listShardOwners } from '../../../hub/store/list-shard-owners.ts';
import { upsertPresence } from '../../../hub/store/upsert-presence.ts';
import { createLeaseMetrics } from '../../../hub/trust/lease-metrics.ts';
import type { RegisteredProbe } from '../../../hub/trust/registry.ts';
import { type ShardKeeper, startShardKeeper } from '../../../hub/trust/shard-keeper.ts';
import { shardCount } from '../../../shared/slot.ts';
import { testDatabase } from '../../harness/postgres.ts';
import { makeScene, quiet, type Scene } from '../ingest/scene.ts';
import { until } from '../ingest/until.ts';
import { plainRequest } from './lease-scene.ts';

const second = 1_000_000;
const opened: { end(): Promise<void> }[] = [];
afterEach(async () => {
  for (const one of opened.splice(0).reverse()) await one.end();
});

/** A keeper that looks when it is told, on a clock that stands until it is moved. */
interface World {
  readonly scene: Scene;
  readonly db: Database;
  readonly keeper: ShardKeeper;
  nowUs: number;
  trusted: Set<number>;
  ranks: number;
  ask(...probes: readonly RegisteredProbe[]): Promise<void>;
  /** Seconds go by; these probes ask every 8 s, and the keeper looks each second. */
  pass(seconds: number, ...probes: readonly RegisteredProbe[]): Promise<void>;
  loads(): Promise<Record<number, number>>;
  replica(): ShardKeeper;
}

async function open(): Promise<World> {
  const scene = await makeScene({ database: await testDatabase() });
  opened.push(scene);
  const db = openDatabase({ url: scene.url, maxConnections: 4 });
  opened.push(db);
  const replica = () => {
    const keeper = startShardKeeper({
      db,
      registry: {
        probeById: (id) => (world.trusted.has(id) ? scene.registry.probeById(id) : undefined),
      },
      owners: { ofRegion: () => [] },
      ranksOf: () => world.ranks,
      log: quiet,
      metrics: createLeaseMetrics(),
      now: () => world.nowUs,
      everyMs: null,
    });
    opened.push({ end: () => keeper.stop() });
    return keeper;
  };
  const world: World = {
    scene,
    db,
    nowUs: 1_800_000_000 * second,
    trusted: new Set(),
    ranks: 1,
    keeper: undefined as unknown as ShardKeeper,
    async ask(...probes) {
      await upsertPresence(
        db,
        probes.map(({ id }) => ({
          probeId: id,
          request: plainRequest,
          seenUs: world.nowUs,
          leaseExpiresUs: world.nowUs + 3600 * second,
          leastVersion: 1,
        })),
      );
    },
    async pass(seconds, ...probes) {
      for (let at = 0; at < seconds; at += 1) {
        if (at % 8 === 0) await world.ask(...probes);
        world.nowUs += second;
        await world.keeper.tend();
      }
    },
    async loads() {
      const rows = await listShardOwners(db);
      const lasting = rows.filter((row) => row.untilUs === null || row.untilUs > world.nowUs);
      return Object.fromEntries(
        [...Map.groupBy(lasting, (row) => row.probeId)].map(([id, own]) => [id, own.length]),
      );
    },
    replica,
  };
  Object.assign(world, { keeper: replica() });
  return world;
}

async function probeOf(world: World, region = 'eu-west'): Promise<RegisteredProbe> {
  const probe = await world.scene.probe(region);
  world.trusted.add(probe.id);
  return probe;
}

test('what a dead probe had is owned by others within 25 s, and slots in it by one alone', async () => {
  const world = await open();
  const [one, two] = [await probeOf(world), await probeOf(world)];
  await world.pass(10, one, two);
  const before = await world.loads();
  expect((before[one.id] ?? 0) + (before[two.id] ?? 0)).toBe(shardCount);
  // The last that is seen of it is the start of this poll.
  await world.ask(one, two);
  await world.pass(19, two);
  expect(await world.loads()).toEqual(before);
  await world.pass(6, two);
  expect(await world.loads()).toEqual({ [two.id]: shardCount });
  const rows = await listShardOwners(world.db);
  for (const row of rows.filter(({ untilUs }) => untilUs !== null)) {
    expect(rows.filter((next) => next.shard === row.shard && next.fromUs === row.untilUs)).toHaveLength(1);
  }
});

test('a restart after 10 minutes moves nothing for 30 s, then what is gone', async () => {
  const world = await open();
  const [one, two] = [await probeOf(world), await probeOf(world)];
  await world.pass(10, one, two);
  const before = await world.loads();
  world.nowUs += 600 * second;
  // One of them is slow to come back, the other is gone for good.
  await world.keeper.tend();
  await world.pass(29, two);
  expect(await world.loads()).toEqual(before);
  await world.pass(3, two);
  expect(await world.loads()).toEqual({ [two.id]: shardCount });
});

test('while no probe at all is heard nothing moves, nor in the 30 s after', async () => {
  const world = await open();
  const [one, two] = [await probeOf(world), await probeOf(world)];
  await world.pass(10, one, two);
  const before = await world.loads();
  await world.pass(120);
  expect(await world.loads()).toEqual(before);
  await world.pass(29, two);
  expect(await world.loads()).toEqual(before);
});

test('regions are planned apart, and a probe that the hub did not write gets nothing', async () => {
  const world = await open();
  const [here, there] = [await probeOf(world, 'eu-west'), await probeOf(world, 'us-east')];
  const forged = await world.scene.probe('eu-west');
  await world.pass(12, here, there, forged);
  expect(await world.loads()).toEqual({ [here.id]: shardCount, [there.id]: shardCount });
});

test('what ended is deleted after a minute, and not before', async () => {
  const world = await open();
  const [one, two] = [await probeOf(world), await probeOf(world)];
  await world.pass(2, one);
  await world.pass(10, one, two);
  const ended = async () => (await listShardOwners(world.db)).filter((row) => row.untilUs !== null).length;
  expect(await ended()).toBeGreaterThan(90);
  await world.pass(50, one, two);
  expect(await ended()).toBeGreaterThan(90);
  await world.pass(20, one, two);
  expect(await ended()).toBe(0);
});

test('of many replicas one looks at a time, and all agree', async () => {
  const world = await open();
  const probes = [await probeOf(world), await probeOf(world), await probeOf(world)];
  const replicas = [world.keeper, world.replica(), world.replica()];
  for (let at = 0; at < 20; at += 1) {
    if (at % 8 === 0) await world.ask(...probes.slice(0, at < 8 ? 1 : 3));
    world.nowUs += second;
    await Promise.all(replicas.map((keeper) => keeper.tend()));
  }
  const rows = await listShardOwners(world.db);
  const lasting = rows.filter((row) => row.untilUs === null);
  expect(lasting).toHaveLength(shardCount);
  expect(new Set(lasting.map((row) => row.shard)).size).toBe(shardCount);
  expect(await readHubNote(world.db, 'shards')).toMatchObject({ tendedUs: world.nowUs });
});

test('a database that takes too long moves nothing: announcements would come late', async () => {
  const world = await open();
  const probe = await probeOf(world);
  await world.ask(probe);
  let tended: Promise<unknown> = Promise.resolve();
  await world.db.transaction(async (sql) => {
    await sql.run('lock table shard_owners in exclusive mode');
    tended = world.keeper.tend().then(
      () => 'written',
      (error: Error) => error.message,
    );
    await until(async () => {
      const { waiting } = await world.scene.db.one<{ waiting: number }>(
        "select count(*)::int4 as waiting from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()",
      );
      return waiting > 0;
    });
    world.nowUs += 2 * second;
  });
  expect(await tended).toBe('the database took too long to move shards');
  expect(await world.loads()).toEqual({});
  await world.keeper.tend();
  expect(await world.loads()).toEqual({ [probe.id]: shardCount });
});
