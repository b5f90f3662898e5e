import { generateKeyPairSync, type KeyObject, randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { exportJWK, type JWTHeaderParameters, SignJWT } from 'jose';
import kafkajs, { Kafka, type KafkaConfig, logLevel } from 'kafkajs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { issueCertificate, makeAuthority } from '../../hub/demo/certificates.ts';
import { kafkaClient } from '../../hub/ingest/kafka-client.ts';
import { setUserQuotas } from '../../hub/ingest/kafka-quotas.ts';
import { askController, wire } from '../../hub/ingest/kafka-wire.ts';
import { oauthBearer } from '../../probe/deliver/kafka-oauth.ts';
import { createKafkaWay } from '../../probe/deliver/kafka-way.ts';
import { kafkaJarsForTests } from '../harness/kafka.ts';
import { type SecureKafka, startSecureKafka } from '../harness/secure-kafka.ts';
import { runCli } from '../hub/cli-scene.ts';
import { quiet } from '../hub/ingest/scene.ts';

const jars = await kafkaJarsForTests();
const topic = 'secure.parallax.results.v1';
const { AclOperationTypes, AclPermissionTypes, AclResourceTypes, ResourcePatternTypes, ConfigResourceTypes } =
  kafkajs;

/** Kafka itself judges; of the hub there is only its key set. */
describe.skipIf(!jars)('a Kafka that believes nobody refuses', () => {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  let jwks: Server;
  let hub = '';
  let kafka: SecureKafka;

  beforeAll(async () => {
    if (!jars) return;
    const keys = JSON.stringify({
      keys: [{ ...(await exportJWK(publicKey)), kid: 'ours', alg: 'ES256', use: 'sig' }],
    });
    jwks = createServer((_, answer) => void answer.end(keys));
    await new Promise<void>((done) => void jwks.listen(0, '127.0.0.1', done));
    hub = `http://127.0.0.1:${(jwks.address() as AddressInfo).port}`;
    kafka = await startSecureKafka(jars, { hub, env: 'secure' });
    const admin = kafkaClient(kafka.config('admin'), quiet).admin();
    await admin.connect();
    await admin.createTopics({ topics: [{ topic: 'others', numPartitions: 1 }] });
    await admin.disconnect();
  });
  afterAll(async () => {
    await kafka?.stop();
    jwks?.close();
  });

  interface Forgery {
    readonly by?: KeyObject;
    readonly iss?: string;
    readonly aud?: string;
    readonly sub?: string;
    readonly expires?: number;
    readonly header?: Partial<JWTHeaderParameters>;
  }
  function sign({
    by = privateKey,
    iss = hub,
    aud = 'kafka',
    sub = 'probe-7',
    expires = 60,
    header,
  }: Forgery = {}) {
    const now = Math.floor(Date.now() / 1000);
    return new SignJWT({ scope: 'produce' })
      .setProtectedHeader({ alg: 'ES256', typ: 'JWT', kid: 'ours', ...header })
      .setIssuer(iss)
      .setAudience(aud)
      .setSubject(sub)
      .setIssuedAt(now - 300)
      .setExpirationTime(now + expires)
      .sign(by);
  }
  const withToken = (token: string): Kafka =>
    new Kafka({
      ...base,
      brokers: [kafka.broker.probeAddress],
      ssl: { ca: kafka.authority.cert },
      sasl: oauthBearer(async () => token).mechanism,
    });
  const base = {
    logLevel: logLevel.NOTHING,
    connectionTimeout: 5000,
    retry: { retries: 0 },
  } satisfies Partial<KafkaConfig>;

  async function produce(client: Kafka, to = topic): Promise<string> {
    const producer = client.producer({ allowAutoTopicCreation: false, retry: { retries: 0 } });
    try {
      await producer.connect();
      await producer.send({ topic: to, acks: -1, messages: [{ value: 'x' }] });
      return 'taken';
    } catch (error) {
      return refusalOf(error);
    } finally {
      await producer.disconnect().catch(() => undefined);
    }
  }
  function refusalOf(error: unknown): string {
    const { type, message, errors, cause } = error as {
      type?: string;
      message: string;
      errors?: { type?: string }[];
      cause?: { type?: string; message: string };
    };
    return type ?? errors?.[0]?.type ?? cause?.type ?? cause?.message ?? message;
  }
  const outcomeOf = (work: Promise<unknown>) => work.then(() => 'done', refusalOf);

  describe('tokens', () => {
    const stranger = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
    const unsigned = async () => {
      const [, payload] = (await sign()).split('.');
      return `${Buffer.from('{"alg":"none"}').toString('base64url')}.${payload}.`;
    };
    const altered = async () => {
      const [header, payload = '', signature] = (await sign()).split('.');
      const claims = JSON.parse(Buffer.from(payload, 'base64url').toString()) as object;
      const other = Buffer.from(JSON.stringify({ ...claims, sub: 'parallax-hub' })).toString('base64url');
      return `${header}.${other}.${signature}`;
    };
    const confused = () => {
      // The public key as the secret of an HMAC.
      const secret = publicKey.export({ format: 'pem', type: 'spki' }) as string;
      const now = Math.floor(Date.now() / 1000);
      return new SignJWT({ scope: 'produce' })
        .setProtectedHeader({ alg: 'HS256', kid: 'ours' })
        .setIssuer(hub)
        .setAudience('kafka')
        .setSubject('probe-7')
        .setIssuedAt(now)
        .setExpirationTime(now + 60)
        .sign(Buffer.from(secret));
    };
    const cases: [what: string, make: () => Promise<string>, taken: boolean][] = [
      ['but not one as the hub makes it', () => sign(), true],
      ['signed by another key under our name', () => sign({ by: stranger }), false],
      ['signed by a key that nobody knows', () => sign({ by: stranger, header: { kid: 'other' } }), false],
      ['with alg none', unsigned, false],
      ['with alg HS256 over the public key', confused, false],
      ['altered after it was signed', altered, false],
      ['for another audience', () => sign({ aud: 'other' }), false],
      ['of another issuer', () => sign({ iss: 'https://other.example' }), false],
      ['that has expired', () => sign({ expires: -10 }), false],
      ['that is none', async () => 'hello', false],
    ];
    test.each(cases)('%s', async (_, make, taken) => {
      const said = await produce(withToken(await make()));
      if (taken) expect(said).toBe('taken');
      else expect(said).toContain("the brokers do not believe this probe's token (invalid_token)");
    });

    test('none at all', async () => {
      const client = new Kafka({
        ...base,
        brokers: [kafka.broker.probeAddress],
        ssl: { ca: kafka.authority.cert },
      });
      expect(await produce(client)).not.toBe('taken');
    });

    test('and a probe says what is wrong', async () => {
      const way = createKafkaWay({
        access: {
          brokers: [kafka.broker.probeAddress],
          topic,
          auth: 'oauthbearer',
          tls: true,
          ca: kafka.authority.cert,
        },
        token: () => sign({ iss: 'https://other.example' }),
        certificate: null,
        clientId: 'test',
        log: quiet,
      });
      const headers = { kid: 'k', sig: new Uint8Array(64), schema: '1' };
      const sent = way.send({ key: 'a', value: new Uint8Array(10), headers }, new AbortController().signal);
      await expect(sent).rejects.toThrow(/do not believe this probe's token.*PARALLAX_PUBLIC_URL as issuer/);
      await way.close();
    });
  });

  describe('what a probe has no right to', () => {
    let probe: Kafka;
    beforeAll(async () => {
      probe = withToken(await sign());
    });
    const withAdmin = async (
      client: Kafka,
      work: (admin: ReturnType<Kafka['admin']>) => Promise<unknown>,
    ) => {
      const admin = client.admin({ retry: { retries: 0 } });
      await admin.connect();
      try {
        return await outcomeOf(work(admin));
      } finally {
        await admin.disconnect();
      }
    };

    test('writing to another topic, or one that does not exist', async () => {
      for (const own of [topic, 'secure.parallax.host-metrics.v1']) {
        expect(await produce(probe, own)).toBe('taken');
      }
      expect(await produce(probe, 'others')).toBe('TOPIC_AUTHORIZATION_FAILED');
      expect(await produce(probe, 'new')).toBe('TOPIC_AUTHORIZATION_FAILED');
    });

    test('reading, alone or in a group', async () => {
      // Fetch, version 4: one partition from its beginning.
      const partition = Buffer.concat([wire.int32(0), Buffer.alloc(8), wire.int32(1_000_000)]);
      const one = Buffer.concat([wire.text(topic), wire.list([partition])]);
      const limits = [wire.int32(-1), wire.int32(100), wire.int32(1), wire.int32(1_000_000), wire.int8(0)];
      const errorCode = await askController(probe, {
        apiKey: 1,
        apiName: 'Fetch',
        apiVersion: 4,
        body: Buffer.concat([...limits, wire.list([one])]),
        read(reader) {
          reader.int32();
          const [found] = reader.list(() => {
            reader.text();
            return reader.list(() => [reader.int32(), reader.int16()][1])[0];
          });
          return found;
        },
      }).catch((error: Error) => error.message);
      const topicAuthorizationFailed = 29;
      expect(errorCode).toBe(topicAuthorizationFailed);
      const coordinator = await askController(probe, {
        apiKey: 10,
        apiName: 'FindCoordinator',
        apiVersion: 1,
        body: Buffer.concat([wire.text('secure.parallax.ingest'), wire.int8(0)]),
        read: (reader) => [reader.int32(), reader.int16()][1],
      });
      const groupAuthorizationFailed = 30;
      expect(coordinator).toBe(groupAuthorizationFailed);
    });

    test('making, changing and deleting topics, rights and quotas', async () => {
      expect(await withAdmin(probe, (admin) => admin.createTopics({ topics: [{ topic: 'mine' }] }))).toBe(
        'TOPIC_AUTHORIZATION_FAILED',
      );
      expect(await withAdmin(probe, (admin) => admin.deleteTopics({ topics: [topic] }))).toBe(
        'TOPIC_AUTHORIZATION_FAILED',
      );
      const everything = {
        resourceType: AclResourceTypes.TOPIC,
        resourceName: '*',
        resourcePatternType: ResourcePatternTypes.LITERAL,
        principal: 'User:probe-7',
        host: '*',
        operation: AclOperationTypes.ALL,
        permissionType: AclPermissionTypes.ALLOW,
      };
      expect(await withAdmin(probe, (admin) => admin.createAcls({ acl: [everything] }))).toBe(
        'CLUSTER_AUTHORIZATION_FAILED',
      );
      const resource = { type: ConfigResourceTypes.TOPIC, name: topic, configNames: ['retention.ms'] };
      expect(
        await withAdmin(probe, (admin) =>
          admin.describeConfigs({ resources: [resource], includeSynonyms: false }),
        ),
      ).toBe('TOPIC_AUTHORIZATION_FAILED');
      expect(
        await outcomeOf(setUserQuotas(probe, [{ user: 'probe-7', key: 'producer_byte_rate', value: 1e12 }])),
      ).toMatch(/authorization failed/i);
    });

    test("the same of the hub's certificate, which is no admin's", async () => {
      const own = kafkaClient(kafka.config('hub'), quiet);
      expect(await produce(own)).toBe('taken');
      expect(await produce(own, 'others')).toBe('TOPIC_AUTHORIZATION_FAILED');
      expect(await withAdmin(own, (admin) => admin.deleteTopics({ topics: [topic] }))).toBe(
        'TOPIC_AUTHORIZATION_FAILED',
      );
      expect(
        await outcomeOf(setUserQuotas(own, [{ user: 'x', key: 'producer_byte_rate', value: 1 }])),
      ).toMatch(/authorization failed/i);
    });
  });

  describe('certificates', () => {
    const dayMs = 86_400_000;
    const client = (over: Partial<{ expired: boolean }> = {}) => ({
      commonName: 'parallax-hub',
      dns: [],
      ips: [],
      roles: ['client'] as const,
      notBeforeMs: Date.now() - 3 * dayMs,
      notAfterMs: Date.now() + (over.expired ? -dayMs : dayMs),
    });
    const hubWith = async (pem: { ca?: string; cert: string; key: string }) => {
      const ca = pem.ca ?? kafka.authority.cert;
      const files = { ca: null, cert: null, key: null };
      return kafkaClient({ ...kafka.config('hub'), tls: { ...pem, ca, files } }, quiet);
    };
    const asked = async (own: Kafka) => {
      const admin = own.admin({ retry: { retries: 0 } });
      try {
        await admin.connect();
        return (await admin.listTopics()).includes(topic) ? 'taken' : 'nothing';
      } catch (error) {
        return (error as Error).message;
      } finally {
        await admin.disconnect();
      }
    };

    test('of another authority, of yesterday, or none; and says what to do', async () => {
      expect(await asked(await hubWith(await issueCertificate(kafka.authority, client())))).toBe('taken');
      const other = await makeAuthority(Date.now(), 'other');
      expect(await asked(await hubWith(await issueCertificate(other, client())))).toMatch(
        /refuses our certificate \(KAFKA_CERT, valid from .*not trusted there/,
      );
      const expired = await issueCertificate(kafka.authority, client({ expired: true }));
      expect(await asked(await hubWith(expired))).toMatch(
        /KAFKA_CERT, valid from \S+ to \S+\): it has expired/,
      );
      const files = { ca: null, cert: null, key: null };
      const none = { ca: kafka.authority.cert, cert: null, key: null, files };
      expect(await asked(kafkaClient({ ...kafka.config('hub'), tls: none }, quiet))).toMatch(
        /asks for a client certificate: name one with KAFKA_CERT/,
      );
      const good = await issueCertificate(kafka.authority, client());
      expect(await asked(await hubWith({ ...good, ca: other.cert }))).toMatch(
        /is of an authority that is not trusted here: name that authority with KAFKA_CA/,
      );
    });

    test("but not a probe's by its certificate, which may write and nothing else", async () => {
      const issued = await issueCertificate(kafka.authority, { ...client(), commonName: 'probe-9' });
      const way = createKafkaWay({
        access: {
          brokers: [kafka.broker.address],
          topic,
          auth: 'mtls',
          tls: true,
          ca: kafka.authority.cert,
        },
        token: () => Promise.reject(new Error('nobody asks for one')),
        certificate: () => issued,
        clientId: 'test',
        log: quiet,
      });
      const headers = { kid: 'k', sig: new Uint8Array(64), schema: '1' };
      await way.send({ key: 'a', value: new Uint8Array(10), headers }, new AbortController().signal);
      await way.close();
      const own = new Kafka({
        ...base,
        brokers: [kafka.broker.address],
        ssl: { ca: kafka.authority.cert, ...issued },
      });
      expect(await produce(own, 'others')).toBe('TOPIC_AUTHORIZATION_FAILED');
    });
  });

  test('no probe over its quota for good: it is slowed down, and nothing is lost or sent twice', async () => {
    const bytesPerSecond = 40_000;
    const [batches, size] = [30, 20_000];
    const admin = kafkaClient(kafka.config('admin'), quiet);
    await setUserQuotas(admin, [{ user: 'probe-8', key: 'producer_byte_rate', value: bytesPerSecond }]);
    const offsets = admin.admin();
    await offsets.connect();
    const messages = async () =>
      (await offsets.fetchTopicOffsets(topic)).reduce((sum, { offset }) => sum + Number(offset), 0);
    const before = await messages();
    const way = createKafkaWay({
      access: {
        brokers: [kafka.broker.probeAddress],
        topic,
        auth: 'oauthbearer',
        tls: true,
        ca: kafka.authority.cert,
      },
      token: () => sign({ sub: 'probe-8', expires: 120 }),
      certificate: null,
      clientId: 'test',
      log: quiet,
    });
    const headers = { kid: 'k', sig: new Uint8Array(64), schema: '1' };
    const { signal } = new AbortController();
    const beganMs = performance.now();
    const failed: string[] = [];
    const waits: number[] = [];
    let next = 0;
    // As the outbox does: a few at once.
    const worker = async () => {
      while (next < batches) {
        next += 1;
        const sentMs = performance.now();
        const batch = { key: `stream-${next}`, value: randomBytes(size), headers };
        await way.send(batch, signal).catch((error: Error) => failed.push(error.message));
        waits.push(performance.now() - sentMs);
      }
    };
    await Promise.all([worker(), worker(), worker(), worker()]);
    const tookMs = performance.now() - beganMs;
    await way.close();
    expect(failed).toEqual([]);
    expect((await messages()) - before).toBe(batches);
    // Kafka lets a burst through, and averages over ten seconds.
    expect(tookMs).toBeGreaterThan(((batches * size) / bytesPerSecond) * 1000 * 0.4);
    expect(Math.max(...waits)).toBeLessThan(25_000);
    await offsets.disconnect();
  }, 120_000);

  describe('parallax kafka setup', () => {
    const setup = (who: 'hub' | 'admin', ...more: string[]) =>
      runCli(['kafka', 'setup', '--hub-principal', 'User:parallax-hub', ...more], {
        ...kafka.broker.env[who],
        KAFKA_PARTITIONS: '4',
        PARALLAX_ENV: 'setup',
      });
    const states = ({ out }: { out: string }) =>
      out
        .split('\n')
        .filter((line) => line.startsWith('{'))
        .map((line) => (JSON.parse(line) as { state: string }).state);

    test('with credentials that may not: changes nothing, and prints what an admin is to type', async () => {
      const run = await setup('hub', '--yes');
      expect(run.code).toBe(1);
      expect(run.err).toContain('9 of 9 could not be done');
      expect(run.out).toMatch(/refused\s+topic setup\.parallax\.results\.v1, 4 partitions: Not authorized/);
      expect(run.out).toContain(
        `kafka-acls.sh --bootstrap-server ${kafka.broker.address} --command-config admin.properties --add --allow-principal 'User:*' --operation Write --topic setup.parallax.results.v1`,
      );
      expect(run.out).toMatch(
        /kafka-configs\.sh .* --entity-type users --entity-default --add-config producer_byte_rate=1048576/,
      );
    });

    test('shows first, does it with --yes, and then has nothing more to do', async () => {
      const shown = await setup('admin', '--json');
      expect(shown.code).toBe(1);
      // Both quotas are the cluster's, made for the first environment.
      expect(states(shown)).toEqual([...Array(7).fill('missing'), 'there', 'there']);
      expect(states(await setup('admin', '--json'))).toEqual(states(shown));
      const done = await setup('admin', '--yes');
      expect([done.code, done.err]).toEqual([0, '']);
      const again = await setup('admin', '--json');
      expect([again.code, states(again)]).toEqual([0, Array(9).fill('there')]);
      // What another set stays as it is.
      const other = await setup('admin', '--json', '--probe-rate', '2MiB');
      expect([other.code, states(other).at(-1)]).toEqual([0, 'kept']);
    });
  });

  test('keeps its private keys from others, and makes nothing anew at a second start', async () => {
    const { made } = kafka.broker.credentials;
    expect(made).toEqual(['ca', 'broker', 'hub', 'admin']);
    const { keepCredentials } = await import('../../deploy/kafka/credentials.ts');
    const folder = `${kafka.dataDir}/tls`;
    expect((await keepCredentials(folder, Date.now())).made).toEqual([]);
    const before = await readFile(`${folder}/hub.crt`, 'utf8');
    // Eleven months later all but the authority is near its end.
    const later = Date.now() + 340 * 86_400_000;
    expect((await keepCredentials(folder, later)).made).toEqual(['broker', 'hub', 'admin']);
    expect(await readFile(`${folder}/hub.crt`, 'utf8')).not.toBe(before);
    const { stat } = await import('node:fs/promises');
    for (const name of ['ca.key', 'hub.key', 'broker.pem']) {
      expect((await stat(`${folder}/${name}`)).mode & 0o077).toBe(0);
    }
  });
});
