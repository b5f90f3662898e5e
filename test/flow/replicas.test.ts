import { setTimeout as wait } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openDatabase } from '../../hub/store/database.ts';
import { kafkaForTests } from '../harness/kafka.ts';
import { until } from '../hub/ingest/until.ts';
import { makeReplicaScene, type Replica, type ReplicaScene, whole } from './replica-scene.ts';

const kafka = await kafkaForTests();

describe.skipIf(!kafka)('several replicas of ingest on one topic', () => {
  let scene: ReplicaScene;
  beforeAll(async () => {
    scene = await makeReplicaScene(kafka?.address ?? '');
  });
  afterAll(() => scene?.end());

  /** All of them, or the test has no ground to stand on. */
  async function start(count: number): Promise<Replica[]> {
    const replicas = await Promise.all(Array.from({ length: count }, scene.start));
    await Promise.all(replicas.map((replica) => replica.untilReady()));
    return replicas;
  }

  /** Stops this one at the point where its transaction holds the partition's progress and has stored nothing yet. */
  async function inTransaction(replica: Replica, stream: string, then: (replica: Replica) => void) {
    // A client of its own with patience: what it locks stays locked.
    const own = openDatabase({ url: scene.env.DATABASE_URL ?? '', idleTransactionMs: 60_000 });
    try {
      await own.transaction(async (sql) => {
        await sql.run('select from streams where stream = $1::text for update', [stream]);
        await scene.send(stream);
        await until(async () => {
          const waiting = await scene.db.many(
            `select from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()`,
          );
          return waiting.length > 0;
        }, 20_000);
        then(replica);
      });
    } finally {
      await own.end();
    }
  }

  const [patience, whileOthersRun] = [45_000, 20_000] as const;

  test('a hub that may not read ends with one line that says what to do, and no more than that', async () => {
    await scene.db.run(
      `insert into kafka_progress (cluster_id, topic, kafka_partition, next_offset) values ('gone', $1::text, 0, 7)`,
      [scene.topic],
    );
    const refused = await scene.start();
    await until(() => refused.code() !== null, patience);
    expect(refused.code()).toBe(1);
    const said = refused.lines.filter((line) => !line.startsWith('{'));
    expect(said).toEqual([
      expect.stringMatching(/^parallax: .* was read on the Kafka cluster gone.*`parallax kafka repair`/),
    ]);
    expect(refused.lines.join(' ')).not.toMatch(/\bat \S+ \(/);
    await scene.db.run(`delete from kafka_progress where cluster_id = 'gone'`);
  });

  test('one that stands still in the middle of its transaction holds the others up no longer than its seat, and wakes to find that it came too late', async () => {
    const [only] = await start(1);
    if (!only) return;
    for (const stream of scene.streams) await scene.send(stream);
    await scene.untilStored(patience);
    const [stream = ''] = scene.streams;
    await inTransaction(only, stream, (replica) => replica.signal('SIGSTOP'));
    const stoppedMs = performance.now();
    const other = await scene.start();
    const end = scene.flow(20);
    await until(() => performance.now() - stoppedMs > 3000);
    await end();
    await scene.untilStored(patience);
    // Its session ends after 10 s, and so does its transaction.
    expect(performance.now() - stoppedMs).toBeLessThan(30_000);
    await other.untilReady();

    only.signal('SIGCONT');
    const again = scene.flow(20);
    await wait(3000);
    await again();
    await scene.untilStored(patience);
    await until(only.ready, whileOthersRun);
    expect(await scene.audit()).toEqual(whole(scene));
    expect(await Promise.all([only.end(), other.end()])).toEqual([0, 0]);
  });

  test('one that is killed in the middle of its transaction leaves nothing behind', async () => {
    const [only] = await start(1);
    if (!only) return;
    const [stream = ''] = scene.streams;
    await inTransaction(only, stream, (replica) => replica.signal('SIGKILL'));
    expect(await scene.audit()).toMatchObject({ toRead: 1, rows: scene.sent() - 1 });
    const other = await scene.start();
    await scene.untilStored(patience);
    expect(await scene.audit()).toEqual(whole(scene));
    await other.end();
  });

  test('they come, leave, are killed and stand still while batches flow: everything is stored exactly once', async () => {
    const [first, second] = await start(2);
    if (!first || !second) return;
    const end = scene.flow(5);
    const third = await scene.start();
    await third.untilReady();
    expect(await third.end()).toBe(0);
    const fourth = await scene.start();
    await fourth.untilReady();
    first.signal('SIGSTOP');
    await wait(1000);
    await fourth.end('SIGKILL');
    // Past its session: the others own its partitions when it wakes.
    await wait(13_000);
    first.signal('SIGCONT');
    await wait(2000);
    second.signal('SIGSTOP');
    await wait(13_000);
    second.signal('SIGCONT');
    await Promise.all([first.end('SIGKILL'), second.end('SIGKILL')]);
    const [last] = await start(1);
    await end();
    await scene.untilStored(patience);
    expect(await scene.audit()).toEqual(whole(scene));
    expect(scene.sent()).toBeGreaterThan(2000);
    await last?.end();
  });
});
