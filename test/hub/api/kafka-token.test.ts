import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SignJWT } from 'jose';
import { Kafka, logLevel, type RecordMetadata } from 'kafkajs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Broker, startBroker } from '../../../deploy/kafka/broker.ts';
import { kafkaJwksPath } from '../../../hub/api/well-known.ts';
import type { HubKafkaConfig } from '../../../hub/config.ts';
import { freePort } from '../../../hub/process/port.ts';
import { rotateKeys } from '../../../hub/trust/rotate-keys.ts';
import type { KafkaTokenAnswer } from '../../../shared/kafka-token.ts';
import { kafkaJarsForTests } from '../../harness/kafka.ts';
import { newKey, publicUrl, type TestKey, type TrustScene, trustScene } from '../trust/scene.ts';

const jars = await kafkaJarsForTests();
const topic = 'test.parallax.results.v1';

/** Kafka itself judges: its OAUTHBEARER validator reads the hub's JWKS. */
describe.skipIf(!jars)('a token for Kafka, shown to a broker', () => {
  let hub: TrustScene;
  let key: TestKey;
  let broker: Broker;
  let dataDir: string;
  let address: string;

  beforeAll(async () => {
    const probes = {
      brokers: ['b:1'],
      auth: 'oauthbearer',
      tls: false,
      ca: null,
      tokenTtlSeconds: 600,
    } as const;
    hub = await trustScene({ kafka: { probes } as unknown as HubKafkaConfig });
    key = newKey();
    await hub.enroll(key, (await hub.mint({ region: 'eu-west' })).token);
    dataDir = await mkdtemp(join(tmpdir(), 'parallax-kafka-'));
    const [port, guarded, control] = [await freePort(), await freePort(), await freePort()];
    address = `127.0.0.1:${guarded}`;
    const open = `PLAINTEXT://127.0.0.1:${port},PROBES://${address}`;
    const jwks = `${hub.origin}${kafkaJwksPath}`;
    const oauth = 'org.apache.kafka.common.security.oauthbearer';
    // Kafka asks for this by a property of its JVM, so that no setting can make it call anywhere.
    process.env.JAVA_TOOL_OPTIONS = `-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls=${jwks}`;
    if (!jars) return;
    broker = await startBroker({
      jars,
      port,
      dataDir,
      signal: AbortSignal.timeout(120_000),
      heapMb: 384,
      properties: {
        listeners: `${open},CONTROLLER://127.0.0.1:${control}`,
        'advertised.listeners': open,
        'controller.quorum.voters': `1@127.0.0.1:${control}`,
        'listener.security.protocol.map': 'PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,PROBES:SASL_PLAINTEXT',
        'listener.name.probes.sasl.enabled.mechanisms': 'OAUTHBEARER',
        'listener.name.probes.oauthbearer.sasl.server.callback.handler.class': `${oauth}.OAuthBearerValidatorCallbackHandler`,
        'listener.name.probes.oauthbearer.sasl.jaas.config': `${oauth}.OAuthBearerLoginModule required;`,
        'listener.name.probes.sasl.oauthbearer.jwks.endpoint.url': jwks,
        'listener.name.probes.sasl.oauthbearer.expected.audience': 'kafka',
        'listener.name.probes.sasl.oauthbearer.expected.issuer': publicUrl,
        'listener.name.probes.sasl.oauthbearer.jwt.validator.class': `${oauth}.BrokerJwtValidator`,
        'sasl.oauthbearer.jwks.endpoint.refresh.ms': '2000',
        'connections.max.reauth.ms': '600000',
      },
    });
    const admin = new Kafka({ brokers: [broker.address], logLevel: logLevel.NOTHING }).admin();
    await admin.connect();
    await admin.createTopics({ topics: [{ topic, numPartitions: 1, replicationFactor: 1 }] });
    await admin.disconnect();
  }, 150_000);
  afterAll(async () => {
    delete process.env.JAVA_TOOL_OPTIONS;
    await broker?.stop();
    await hub.end();
    await rm(dataDir, { recursive: true, force: true });
  });

  async function tokenOfHub(): Promise<string> {
    const { content, status } = await hub.signed(key, '/v1/kafka-token');
    expect(status).toBe(200);
    return (content as unknown as KafkaTokenAnswer).token;
  }

  /** Ready means an acknowledged produce: a refusal does not show when connecting. */
  async function produceWith(token: string): Promise<RecordMetadata[]> {
    const kafka = new Kafka({
      brokers: [address],
      logLevel: logLevel.NOTHING,
      retry: { retries: 0 },
      sasl: { mechanism: 'oauthbearer', oauthBearerProvider: async () => ({ value: token }) },
    });
    const producer = kafka.producer({ allowAutoTopicCreation: false, retry: { retries: 0 } });
    try {
      await producer.connect();
      return await producer.send({ topic, acks: -1, messages: [{ value: 'x' }] });
    } finally {
      await producer.disconnect().catch(() => undefined);
    }
  }

  test('is believed', async () => {
    const [acknowledged] = await produceWith(await tokenOfHub());
    expect(acknowledged).toMatchObject({ topicName: topic, errorCode: 0 });
  });

  interface Forgery {
    readonly by?: KeyObject;
    readonly kid?: string;
    readonly iss?: string;
    readonly aud?: string;
    readonly exp?: number;
  }
  const forge = ({ by, kid, iss = publicUrl, aud = 'kafka', exp = 600 }: Forgery) => {
    const now = Math.floor(Date.now() / 1000);
    return new SignJWT({})
      .setProtectedHeader({ alg: 'ES256', kid: kid ?? hub.keys.kafka.kid })
      .setIssuer(iss)
      .setAudience(aud)
      .setSubject('probe-1')
      .setIssuedAt(now - 700)
      .setExpirationTime(now + exp)
      .sign(by ?? hub.keys.kafka.privateKey);
  };
  const stranger = () => generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
  const forgeries: [what: string, make: () => Promise<string>, taken: boolean][] = [
    ['one as the hub makes it', () => forge({}), true],
    ['one signed by another key', () => forge({ by: stranger() }), false],
    ['one for another audience', () => forge({ aud: 'other' }), false],
    ['one of another hub', () => forge({ iss: 'https://other.example' }), false],
    ['one that has expired', () => forge({ exp: -120 }), false],
    [
      'one without a signature',
      async () => {
        const [, payload] = (await forge({})).split('.');
        return `${Buffer.from('{"alg":"none"}').toString('base64url')}.${payload}.`;
      },
      false,
    ],
  ];
  test.each(forgeries)('%s', async (_, make, taken) => {
    const token = await make();
    if (taken) expect(await produceWith(token)).toHaveLength(1);
    else await expect(produceWith(token)).rejects.toThrow();
  });

  test('is believed on after the Kafka key was rotated, the old and the new', async () => {
    const before = await tokenOfHub();
    await rotateKeys({ dir: hub.keysDir, kafka: true, now: () => Date.now() * 1000 });
    await hub.reloadKeys();
    const after = await tokenOfHub();
    await expect
      .poll(
        () =>
          produceWith(after).then(
            () => 'taken',
            () => 'refused',
          ),
        { timeout: 20_000, interval: 500 },
      )
      .toBe('taken');
    expect(await produceWith(before)).toHaveLength(1);
  });
});
