import { describe, expect, test } from 'vitest';
import { type HubFlags, readHubConfig } from '../../hub/read-config.ts';
import { SettingsError } from '../../hub/settings.ts';

const secret = 'MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=';
const least = {
  DATABASE_URL: 'postgresql://parallax:hunter2@db.example/parallax',
  PARALLAX_KEYS: '/keys',
  PARALLAX_SECRET: secret,
};
const files: Record<string, string> = {
  '/run/url': 'postgresql://from-file/parallax\n',
  '/run/secret': `${'ab'.repeat(32)}\n`,
  '/run/ca.pem': '-----BEGIN CERTIFICATE-----\nfile\n',
};
function readFile(path: string): string {
  const text = files[path];
  if (text === undefined) throw Object.assign(new Error(`ENOENT: ${path}`), { code: 'ENOENT' });
  return text;
}
const read = (env: Record<string, string> = {}, flags: HubFlags = {}) =>
  readHubConfig({ ...least, ...env }, flags, readFile);

function problems(env: Record<string, string>, flags: HubFlags = {}): readonly string[] {
  try {
    read(env, flags);
  } catch (error) {
    if (error instanceof SettingsError) return error.problems;
    throw error;
  }
  return [];
}

describe('what the hub is told', () => {
  test('the least, and what it means', () => {
    expect(read()).toMatchObject({
      listen: { host: '127.0.0.1', port: 7070 },
      publicUrl: 'http://127.0.0.1:7070',
      env: 'dev',
      roles: ['api', 'ingest', 'judge', 'alert'],
      kafka: null,
      migrate: true,
      alsoSecrets: [],
      retentionDays: 7,
      leaseTtlSeconds: 21_600,
      tls: null,
      trustedProxies: [],
      logLevel: 'info',
    });
    expect(read().secret).toHaveLength(32);
  });

  test('a flag goes before its variable', () => {
    const env = { PARALLAX_LISTEN: '127.0.0.1:1', PARALLAX_ROLES: 'api,ingest' };
    expect(read(env).listen.port).toBe(1);
    expect(read(env, { listen: ':2', roles: 'ingest' })).toMatchObject({
      listen: { host: '127.0.0.1', port: 2 },
      roles: ['ingest'],
    });
  });

  test('set to nothing is not set', () => {
    expect(read({ PARALLAX_ENV: '', KAFKA_BROKERS: ' ', LOG_LEVEL: '' })).toMatchObject({
      env: 'dev',
      kafka: null,
    });
    expect(problems({ DATABASE_URL: '' })[0]).toContain('DATABASE_URL is not set');
  });

  test('secrets from files', () => {
    const config = read({
      DATABASE_URL: '',
      DATABASE_URL_FILE: '/run/url',
      PARALLAX_SECRET: '',
      PARALLAX_SECRET_FILE: '/run/secret',
    });
    expect(config.databaseUrl).toBe('postgresql://from-file/parallax');
    expect(Buffer.from(config.secret).toString('hex')).toBe('ab'.repeat(32));
  });

  test('Kafka, whole', () => {
    const kafka = read({
      PARALLAX_ENV: 'prod',
      KAFKA_BROKERS: 'a:9092, b:9092,c:9092 ,[2001:db8::1]:9092',
      KAFKA_CA: '/run/ca.pem',
      KAFKA_CERT: '-----BEGIN CERTIFICATE-----\nin place',
      KAFKA_KEY: '-----BEGIN PRIVATE KEY-----\nin place',
      KAFKA_SASL_MECHANISM: 'scram-sha-512',
      KAFKA_SASL_USERNAME: 'hub',
      KAFKA_SASL_PASSWORD: 'pass word',
      KAFKA_RETENTION: '3d',
      KAFKA_PROBE_BROKERS: 'public:9094',
    }).kafka;
    expect(kafka).toMatchObject({
      brokers: ['a:9092', 'b:9092', 'c:9092', '[2001:db8::1]:9092'],
      groupId: 'prod.parallax.ingest',
      partitions: 32,
      replication: 3,
      retentionMs: 259_200_000,
      tls: { ca: files['/run/ca.pem'], cert: '-----BEGIN CERTIFICATE-----\nin place' },
      sasl: { mechanism: 'scram-sha-512', username: 'hub', password: 'pass word' },
      probes: { brokers: ['public:9094'], auth: 'oauthbearer', tls: true, ca: null },
    });
    expect(read({ KAFKA_BROKERS: 'a:9092' }).kafka).toMatchObject({
      replication: 1,
      tls: null,
      sasl: null,
      probes: null,
    });
  });

  const wrong: [env: Record<string, string>, flags: HubFlags, says: RegExp][] = [
    [{ DATABASE_URL: 'mysql://x/y' }, {}, /^DATABASE_URL: is not an address like postgresql:/],
    [{ DATABASE_URL: 'hunter2' }, {}, /^DATABASE_URL: is not an address like postgresql:/],
    [
      { DATABASE_URL: '', DATABASE_URL_FILE: '/run/none' },
      {},
      /^DATABASE_URL_FILE \/run\/none: there is no such file$/,
    ],
    [{ PARALLAX_KEYS: '' }, {}, /^PARALLAX_KEYS is not set: name the folder/],
    [{ PARALLAX_SECRET: '' }, {}, /^PARALLAX_SECRET is not set: .*openssl rand -base64 32/],
    [{ PARALLAX_SECRET: 'short' }, {}, /^PARALLAX_SECRET: is not 32 bytes in base64 or hex/],
    [{ PARALLAX_SECRET: 'ab'.repeat(31) }, {}, /^PARALLAX_SECRET: is not 32 bytes/],
    [{}, { listen: '7070' }, /^--listen: '7070' is not an address like 127\.0\.0\.1:7070$/],
    [{ PARALLAX_LISTEN: '127.0.0.1:99999' }, {}, /^PARALLAX_LISTEN: '127\.0\.0\.1:99999' is not/],
    [{}, { listen: '0.0.0.0:7070' }, /^PARALLAX_PUBLIC_URL is not set: the hub listens on 0\.0\.0\.0:7070/],
    [
      { PARALLAX_PUBLIC_URL: 'hub.example' },
      {},
      /^PARALLAX_PUBLIC_URL: 'hub\.example' is not an address like https:/,
    ],
    [{ PARALLAX_PUBLIC_URL: 'https://hub.example/parallax' }, {}, /^PARALLAX_PUBLIC_URL: .* without a path$/],
    [{ PARALLAX_PUBLIC_URL: 'ftp://hub.example' }, {}, /^PARALLAX_PUBLIC_URL/],
    [{ PARALLAX_HOSTS: 'hub.example:7070' }, {}, /^PARALLAX_HOSTS: .* host names without a port/],
    [{ PARALLAX_ENV: 'Prod Env' }, {}, /^PARALLAX_ENV: 'Prod Env' is not a name of lower-case/],
    [{}, { roles: 'api,cook' }, /^--roles: 'api,cook' is not roles out of api, ingest, judge, alert/],
    [{}, { roles: 'api' }, /^--roles without ingest needs KAFKA_BROKERS/],
    [
      { PARALLAX_RETENTION_DAYS: '0' },
      {},
      /^PARALLAX_RETENTION_DAYS: '0' is not a whole number from 1 to 3650$/,
    ],
    [{ PARALLAX_RETENTION_DAYS: '7.5' }, {}, /^PARALLAX_RETENTION_DAYS/],
    [{ PARALLAX_LEASE_TTL: '10s' }, {}, /^PARALLAX_LEASE_TTL: '10s' is not a duration from 1m to 7d$/],
    [{ INGEST_MAX_ROWS: '-1' }, {}, /^INGEST_MAX_ROWS/],
    [{ INGEST_MAX_MS: 'soon' }, {}, /^INGEST_MAX_MS/],
    [{ LOG_LEVEL: 'loud' }, {}, /^LOG_LEVEL: 'loud' is not one of fatal, error/],
    [{}, { tlsCert: 'a.crt' }, /^--tls-cert and --tls-key go together: --tls-key is missing$/],
    [{}, { tlsKey: 'a.key' }, /^--tls-cert and --tls-key go together: --tls-cert is missing$/],
    [{}, { trustedProxy: ['10.0.0.0/33'] }, /^--trusted-proxy: '10\.0\.0\.0\/33' is not networks like/],
    [{ PARALLAX_TRUSTED_PROXIES: 'everywhere' }, {}, /^PARALLAX_TRUSTED_PROXIES/],
    [{ KAFKA_BROKERS: 'localhost' }, {}, /^KAFKA_BROKERS: 'localhost' is not brokers like/],
    [{ KAFKA_BROKERS: 'a:70000' }, {}, /^KAFKA_BROKERS/],
    [{ KAFKA_BROKERS: 'a:1', KAFKA_PARTITIONS: '0' }, {}, /^KAFKA_PARTITIONS/],
    [{ KAFKA_BROKERS: 'a:1', KAFKA_RETENTION: '1' }, {}, /^KAFKA_RETENTION: '1' is not a duration/],
    [{ KAFKA_BROKERS: 'a:1', KAFKA_CA: '/no/ca.pem' }, {}, /^KAFKA_CA \/no\/ca\.pem: there is no such file$/],
    [
      { KAFKA_BROKERS: 'a:1', KAFKA_CERT: '-----BEGIN X' },
      {},
      /^KAFKA_CERT and KAFKA_KEY go together: KAFKA_KEY/,
    ],
    [{ KAFKA_BROKERS: 'a:1', KAFKA_TLS: 'perhaps' }, {}, /^KAFKA_TLS: 'perhaps' is not true or false$/],
    [
      { KAFKA_BROKERS: 'a:1', KAFKA_SASL_MECHANISM: 'gssapi' },
      {},
      /^KAFKA_SASL_MECHANISM: 'gssapi' is not one of/,
    ],
    [
      { KAFKA_BROKERS: 'a:1', KAFKA_SASL_MECHANISM: 'plain', KAFKA_SASL_PASSWORD: 'x' },
      {},
      /^KAFKA_SASL_USERNAME is not set/,
    ],
    [
      { KAFKA_BROKERS: 'a:1', KAFKA_PROBE_BROKERS: 'a:2', KAFKA_PROBE_AUTH: 'trust' },
      {},
      /^KAFKA_PROBE_AUTH/,
    ],
  ];
  test.each(wrong)('%j %j', (env, flags, says) => {
    const found = problems(env, flags);
    expect(found).toHaveLength(1);
    expect(found[0]).toMatch(says);
    expect(found[0]).not.toMatch(/hunter2/);
  });

  test('everything that is wrong at once', () => {
    const env = { DATABASE_URL: '', PARALLAX_SECRET: 'x', LOG_LEVEL: 'loud', KAFKA_BROKERS: '?' };
    expect(problems(env, { listen: '?' })).toHaveLength(5);
    expect(() => read(env, { listen: '?' })).toThrow(/^5 settings are wrong:\n {2}--listen/);
  });
});
