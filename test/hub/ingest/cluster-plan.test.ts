import { describe, expect, test } from 'vitest';
import type { HubKafkaConfig } from '../../../hub/config.ts';
import {
  commandOf,
  type GrantedRight,
  type PlanTerms,
  type Present,
  planSteps,
  wantedOf,
} from '../../../hub/ingest/cluster-plan.ts';
import { createTopics } from '../../../hub/ingest/kafka-topics.ts';
import { kafkaForTests } from '../../harness/kafka.ts';
import { runCli } from '../cli-scene.ts';
import { quiet } from './scene.ts';

const config: HubKafkaConfig = {
  brokers: ['a:1', 'b:2'],
  clientId: 'hub',
  groupId: 'prod.parallax.ingest',
  partitions: 8,
  replication: 3,
  retentionMs: 3_600_000,
  tls: null,
  sasl: null,
  probes: null,
};
const terms: PlanTerms = {
  config,
  env: 'prod',
  hubPrincipal: 'User:hub',
  probePrincipals: ['User:*'],
  probeBytesPerSecond: 1000,
};
const results = 'prod.parallax.results.v1';
const nothing: Present = { topics: new Map(), rights: [], quotas: [] };
const statesOf = (present: Present, over: Partial<PlanTerms> = {}) =>
  planSteps(wantedOf({ ...terms, ...over }), present).map(({ kind, state }) => `${kind} ${state}`);

describe('what a cluster needs', () => {
  test('is all missing from an empty one, the hub before the default that would hold for it too', () => {
    const steps = planSteps(wantedOf(terms), nothing);
    expect(steps.map(({ what }) => what)).toEqual([
      `topic ${results}, 8 partitions`,
      'topic prod.parallax.host-metrics.v1, 8 partitions',
      `User:hub may Read, Write, Describe, DescribeConfigs on topic ${results}`,
      'User:hub may Read, Write, Describe, DescribeConfigs on topic prod.parallax.host-metrics.v1',
      'User:hub may Read, Describe on group prod.parallax.ingest',
      `User:* may Write on topic ${results}`,
      'User:* may Write on topic prod.parallax.host-metrics.v1',
      'User:hub: producer_byte_rate=1073741824, request_percentage=1000',
      'every principal without a quota of its own: producer_byte_rate=1000, request_percentage=25',
    ]);
    expect(new Set(steps.map(({ state }) => state))).toEqual(new Set(['missing']));
  });

  test('holds no rights for probes that use the relay, and no quotas where none are asked for', () => {
    const wanted = wantedOf({ ...terms, probePrincipals: [], probeBytesPerSecond: null, hubPrincipal: null });
    expect([wanted.rights, wanted.quotas]).toEqual([[], []]);
  });

  const granted = (over: Partial<GrantedRight> = {}): GrantedRight => ({
    principal: 'User:*',
    resource: { type: 'topic', name: results },
    prefix: false,
    operation: 'Write',
    allow: true,
    ...over,
  });
  const rights: [what: string, granted: GrantedRight, there: boolean][] = [
    ['the right itself', granted(), true],
    ['every operation', granted({ operation: 'All' }), true],
    ['another operation', granted({ operation: 'Read' }), false],
    ['another principal', granted({ principal: 'User:x' }), false],
    ['another topic', granted({ resource: { type: 'topic', name: 'x' } }), false],
    ['every topic', granted({ resource: { type: 'topic', name: '*' } }), true],
    ['a prefix of it', granted({ resource: { type: 'topic', name: 'prod.' }, prefix: true }), true],
    ['that name, but no prefix', granted({ resource: { type: 'topic', name: 'prod.' } }), false],
    ['a group of that name', granted({ resource: { type: 'group', name: results } }), false],
    ['a denial', granted({ allow: false }), false],
  ];
  test.each(rights)('is there by %s', (_, one, there) => {
    const [step] = planSteps(wantedOf(terms), { ...nothing, rights: [one] }).filter(
      ({ what }) => what === `User:* may Write on topic ${results}`,
    );
    expect(step?.state).toBe(there ? 'there' : 'missing');
    expect(step?.note === undefined).toBe(one.allow);
  });

  test('is asked for only as far as it is missing', () => {
    const read = granted({ principal: 'User:hub', operation: 'Read' });
    const [step] = planSteps(wantedOf(terms), { ...nothing, rights: [read] }).filter(
      (one) => one.kind === 'right',
    );
    expect(step?.what).toBe(`User:hub may Write, DescribeConfigs on topic ${results}`);
  });

  test('a topic whose time is not its own is told, one with other partitions is left', () => {
    const topics = new Map([[results, { partitions: 3, timestampType: 'CreateTime' }]]);
    expect(statesOf({ ...nothing, topics }).slice(0, 3)).toEqual([
      'topic there',
      'time missing',
      'topic missing',
    ]);
  });

  test('a quota that another set is kept; what may not be seen is unknown', () => {
    const quotas = [
      { user: null, key: 'producer_byte_rate', value: 5 } as const,
      { user: null, key: 'request_percentage', value: 25 } as const,
    ];
    expect(statesOf({ ...nothing, quotas }).slice(-2)).toEqual(['quota missing', 'quota kept']);
    expect(statesOf({ ...nothing, quotas: 'no', rights: 'no' }).slice(2)).toEqual([
      ...Array(5).fill('right unknown'),
      ...Array(2).fill('quota unknown'),
    ]);
  });

  test("is said in Kafka's own words", () => {
    const commands = planSteps(wantedOf(terms), nothing).map((step) => commandOf(step, config.brokers));
    const to = '--bootstrap-server a:1,b:2 --command-config admin.properties';
    expect(commands[0]).toBe(
      `kafka-topics.sh ${to} --create --if-not-exists --topic ${results} --partitions 8 --replication-factor 3 --config message.timestamp.type=LogAppendTime --config retention.ms=3600000 --config cleanup.policy=delete --config min.insync.replicas=2`,
    );
    expect(commands[4]).toBe(
      `kafka-acls.sh ${to} --add --allow-principal 'User:hub' --operation Read --operation Describe --group prod.parallax.ingest`,
    );
    expect(commands.at(-1)).toBe(
      `kafka-configs.sh ${to} --alter --entity-type users --entity-default --add-config producer_byte_rate=1000,request_percentage=25`,
    );
  });
});

const kafka = await kafkaForTests();

describe.skipIf(!kafka)('parallax kafka setup on a cluster without an authorizer', () => {
  const env = () => ({
    KAFKA_BROKERS: kafka?.address ?? '',
    KAFKA_PARTITIONS: '2',
    PARALLAX_ENV: `setup-${process.pid}`,
  });
  const argv = ['kafka', 'setup', '--no-quotas'];

  test('makes the topics, sets their time right, and leaves all else that was set', async () => {
    const first = await runCli([...argv, '--yes'], env());
    expect([first.code, first.out]).toEqual([
      0,
      expect.stringMatching(/made\s+topic setup-\d+\.parallax\.results/),
    ]);
    expect((await runCli(argv, env())).code).toBe(0);
    const topic = `${env().PARALLAX_ENV}.parallax.results.v1`;
    const { Kafka, ConfigResourceTypes } = (await import('kafkajs')).default;
    const admin = new Kafka({ brokers: [kafka?.address ?? ''], logLevel: 0 }).admin();
    await admin.connect();
    const set = (configEntries: { name: string; value: string }[]) =>
      admin.alterConfigs({
        validateOnly: false,
        resources: [{ type: ConfigResourceTypes.TOPIC, name: topic, configEntries }],
      });
    await set([
      { name: 'message.timestamp.type', value: 'CreateTime' },
      { name: 'retention.ms', value: '7200000' },
    ]);
    const shown = await runCli(argv, env());
    expect([shown.code, shown.out]).toEqual([
      1,
      expect.stringContaining("a probe's clock would be believed"),
    ]);
    expect((await runCli([...argv, '--yes'], env())).code).toBe(0);
    const { resources } = await admin.describeConfigs({
      resources: [{ type: ConfigResourceTypes.TOPIC, name: topic }],
      includeSynonyms: false,
    });
    const value = (name: string) =>
      resources[0]?.configEntries.find(({ configName }) => configName === name)?.configValue;
    expect([value('message.timestamp.type'), value('retention.ms')]).toEqual(['LogAppendTime', '7200000']);
    await admin.disconnect();
    // The hub's own look finds nothing to do.
    const own = { ...config, brokers: [kafka?.address ?? ''], replication: 1 };
    expect(await createTopics(own, env().PARALLAX_ENV, quiet)).toMatchObject([
      { state: 'there', partitions: 2 },
      { state: 'there', partitions: 2 },
    ]);
  });

  test('says what is wrong with the call', async () => {
    expect(await runCli(argv, {})).toMatchObject({ code: 2, err: expect.stringContaining('KAFKA_BROKERS') });
    expect((await runCli([...argv, '--hub-principal', 'hub'], env())).err).toContain('User:NAME');
    expect((await runCli([...argv, '--probe-rate', 'x'], env())).code).toBe(2);
    const away = await runCli(argv, { KAFKA_BROKERS: '127.0.0.1:1' });
    expect([away.code, away.err]).toEqual([1, expect.stringContaining('Kafka at 127.0.0.1:1: ')]);
  }, 60_000);
});
