import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Bus } from '../../../hub/ingest/bus.ts';
import { createKafkaBus } from '../../../hub/ingest/kafka-bus.ts';
import { kafkaClient } from '../../../hub/ingest/kafka-client.ts';
import { createTopics, withAdmin } from '../../../hub/ingest/kafka-topics.ts';
import type { KafkaRefusal } from '../../../hub/ingest/topics.ts';
import { readStoreConfig } from '../../../hub/read-store-config.ts';
import { kafkaForTests } from '../../harness/kafka.ts';
import { runCli } from '../cli-scene.ts';
import { batchOf, makeScene, quiet, resultOf, type Scene, seal } from '../ingest/scene.ts';
import { until } from '../ingest/until.ts';

const kafka = await kafkaForTests();

describe.skipIf(!kafka)('parallax kafka repair', () => {
  const environment = `repair-${randomBytes(4).toString('hex')}`;
  const topic = `${environment}.parallax.results.v1`;
  let scene: Scene;
  let bus: Bus | undefined;
  let env: Record<string, string>;
  beforeAll(async () => {
    scene = await makeScene();
    env = {
      DATABASE_URL: scene.url,
      KAFKA_BROKERS: kafka?.address ?? '',
      KAFKA_PARTITIONS: '2',
      PARALLAX_ENV: environment,
    };
    await createTopics(config(), environment, quiet);
  });
  afterAll(async () => {
    await bus?.stop();
    await scene.end();
  });

  const config = () => {
    const { kafka: read } = readStoreConfig(env);
    if (!read) throw new Error('no KAFKA_BROKERS');
    return read;
  };
  const repair = (...args: string[]) => runCli(['kafka', 'repair', ...args], env);

  async function started(onFatal: (error: KafkaRefusal) => void = () => undefined): Promise<Bus> {
    const made = createKafkaBus({
      config: config(),
      env: environment,
      db: scene.db,
      log: quiet,
      onFatal,
      retryMs: [50, 200],
      lookEveryMs: 500,
      patienceMs: 500,
    });
    await made.start(scene.ingest.handle);
    await until(() => made.status().ready, 30_000);
    bus = made;
    return made;
  }

  async function publish(to: Bus, count: number, from: number): Promise<void> {
    const probe = await scene.probe('eu-west');
    for (let index = from; index < from + count; index += 1) {
      const results = [resultOf(probe, scene.nowUs - index * 1_000_000)];
      await to.publish(seal(probe, batchOf(probe, { results })), AbortSignal.timeout(10_000));
    }
  }

  const stored = (count: number) => until(async () => (await scene.count('results')) === count, 20_000);

  async function makeAnew(): Promise<void> {
    const client = kafkaClient(config(), quiet);
    await withAdmin(client, async (admin) => {
      await admin.deleteTopics({ topics: [topic] });
      await until(async () => !(await admin.listTopics()).includes(topic));
    });
    await createTopics(config(), environment, quiet);
  }

  test('says that nothing is wrong, with exit code 0, and then does nothing', async () => {
    const running = await started();
    await publish(running, 20, 0);
    await stored(20);
    for (const args of [[], ['--yes'], ['--dry-run']]) {
      const { code, out } = await repair(...args);
      expect(code).toBe(0);
      expect(out).toContain('nothing is wrong');
    }
    const { out } = await repair('--json');
    expect(
      out
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line) as object),
    ).toMatchObject([
      { topic, partition: 0, found: 'good', todo: 'nothing' },
      { topic, partition: 1, found: 'good', todo: 'nothing' },
    ]);
    expect(await scene.count('audit_log')).toBe(0);
  }, 60_000);

  test('of a topic made anew that has grown past our place: shown, refused while somebody reads, done, and all is read', async () => {
    const refusals: KafkaRefusal[] = [];
    await bus?.stop();
    const before = await scene.db.many('select * from kafka_progress order by kafka_partition');
    await makeAnew();
    const other = createKafkaBus({
      config: config(),
      env: environment,
      db: scene.db,
      log: quiet,
      onFatal: (error) => refusals.push(error),
    });
    await publish(other, 80, 100);
    await other.stop();
    await expect(started((error) => refusals.push(error))).rejects.toMatchObject({
      code: 'kafka.topic_anew',
      message: expect.stringMatching(/`parallax kafka repair`/),
    });

    const shown = await repair();
    expect(shown.code).toBe(1);
    expect(shown.out).toMatch(/0 +\d+ +0 to \d+ +another topic +read from 0/);
    expect(shown.err).toContain('2 partitions to be repaired: with --yes it is done');
    expect(await scene.db.many('select * from kafka_progress order by kafka_partition')).toEqual(before);

    const member = kafkaClient(config(), quiet).consumer({ groupId: config().groupId });
    await member.connect();
    await member.subscribe({ topics: [topic] });
    const joined = new Promise((resolve) => member.on(member.events.GROUP_JOIN, resolve));
    await member.run({ eachMessage: async () => undefined });
    await joined;
    const refused = await repair('--yes');
    expect([refused.code, refused.err]).toEqual([1, expect.stringMatching(/stop the hubs.*127\.0\.0\.1/)]);
    await member.disconnect();
    expect(await scene.count('audit_log')).toBe(0);

    const done = await repair('--yes');
    expect([done.code, done.err]).toEqual([0, '']);
    expect(done.out).toContain('repaired: 2 partitions; start the hubs');
    expect(await scene.db.one('select actor, action, subject from audit_log')).toEqual({
      actor: 'command line',
      action: 'kafka.repair',
      subject: `topic:${topic}`,
    });
    await started();
    await stored(100);
    expect(await scene.count('rejects')).toBe(0);
    expect((await repair()).code).toBe(0);
  }, 90_000);

  test('of another cluster', async () => {
    await bus?.stop();
    await scene.db.run(`update kafka_progress set cluster_id = 'the-one-before'`);
    await expect(started()).rejects.toMatchObject({ code: 'kafka.other_cluster' });
    const shown = await repair();
    expect(shown.out).toContain('forget it (cluster the-one-before)');
    expect((await repair('--yes')).code).toBe(0);
    const running = await started();
    await publish(running, 1, 500);
    await stored(101);
    const { out } = await repair();
    expect(out).toContain('nothing is wrong');
    expect(await scene.count('rejects')).toBe(0);
  }, 60_000);

  test.each([
    [['--yes', '--dry-run'], {}, 2, /take one of them/],
    [[], { KAFKA_BROKERS: '' }, 2, /KAFKA_BROKERS is not set/],
    [['--topic', 'no.such.topic'], {}, 1, /no\.such\.topic does not exist/],
  ] as const)('%s with %j ends with %i', async (args, over, code, says) => {
    const answer = await runCli(['kafka', 'repair', ...args], { ...env, ...over });
    expect([answer.code, answer.err]).toEqual([code, expect.stringMatching(says)]);
  });
});
