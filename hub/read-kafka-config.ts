import { parseDuration } from '../shared/duration.ts';
import type { HubKafkaConfig } from './config.ts';
import { listOf, oneOf, type Settings, secretSetting, setting, wholeNumber, yesOrNo } from './settings.ts';

const brokers = listOf('brokers like kafka-1.example:9092', (word) =>
  /^([a-z0-9.-]+|\[[0-9a-f:.]+\]):([1-9]\d{0,4})$/i.test(word) && Number(word.split(':').at(-1)) <= 65_535
    ? word
    : null,
);
const anything = setting('a name', (text) => text);
const password = secretSetting('a password', (text) => text);
const duration = (least: string, most: string) =>
  setting(`a duration from ${least} to ${most}`, (text) => {
    const [ms, leastMs, mostMs] = [text, least, most].map((each) => parseDuration(each) ?? Number.NaN);
    return ms !== undefined && ms >= (leastMs ?? 0) && ms <= (mostMs ?? 0) ? ms : null;
  });
/** With fewer than three copies the loss of one disk may lose what was acknowledged. */
const wantedCopies = 3;

/** KAFKA_*: null without KAFKA_BROKERS, which is what turns it on. */
export function readKafkaConfig(settings: Settings, env: string): HubKafkaConfig | null {
  const { read } = settings;
  const known = read<string[] | null>({ variable: 'KAFKA_BROKERS' }, brokers, null);
  if (!known) return null;
  return {
    brokers: known,
    clientId: read({ variable: 'KAFKA_CLIENT_ID' }, anything, 'parallax-hub'),
    groupId: read({ variable: 'KAFKA_GROUP_ID' }, anything, `${env}.parallax.ingest`),
    partitions: read({ variable: 'KAFKA_PARTITIONS' }, wholeNumber(1, 10_000), 32),
    replication: read(
      { variable: 'KAFKA_REPLICATION' },
      wholeNumber(1, 16),
      Math.min(wantedCopies, known.length),
    ),
    retentionMs: read({ variable: 'KAFKA_RETENTION' }, duration('1h', '365d'), 7 * 86_400_000),
    tls: readTls(settings),
    sasl: readSasl(settings),
    probes: readProbes(settings),
  };
}

function readTls(settings: Settings): HubKafkaConfig['tls'] {
  const ca = settings.pem({ variable: 'KAFKA_CA' });
  const cert = settings.pem({ variable: 'KAFKA_CERT' });
  const key = settings.pem({ variable: 'KAFKA_KEY' });
  if ((cert === null) !== (key === null)) {
    settings.complain(
      `KAFKA_CERT and KAFKA_KEY go together: ${cert ? 'KAFKA_KEY' : 'KAFKA_CERT'} is missing`,
    );
  }
  const wanted = settings.read({ variable: 'KAFKA_TLS' }, yesOrNo, ca !== null || cert !== null);
  const file = (variable: string) => settings.pemFile({ variable });
  const files = { ca: file('KAFKA_CA'), cert: file('KAFKA_CERT'), key: file('KAFKA_KEY') };
  return wanted ? { ca, cert, key, files } : null;
}

function readSasl(settings: Settings): HubKafkaConfig['sasl'] {
  const mechanisms = oneOf(['plain', 'scram-sha-256', 'scram-sha-512']);
  type Mechanism = 'plain' | 'scram-sha-256' | 'scram-sha-512';
  const mechanism = settings.read<Mechanism | null>({ variable: 'KAFKA_SASL_MECHANISM' }, mechanisms, null);
  if (!mechanism) return null;
  const missing = `${mechanism} asks for it`;
  const username = settings.need({ variable: 'KAFKA_SASL_USERNAME' }, anything, missing) ?? '';
  const secret = { variable: 'KAFKA_SASL_PASSWORD', orFile: true };
  return { mechanism, username, password: settings.need(secret, password, missing) ?? '' };
}

/** What leases tell probes; without KAFKA_PROBE_BROKERS they deliver through the relay. */
function readProbes(settings: Settings): HubKafkaConfig['probes'] {
  const known = settings.read<string[] | null>({ variable: 'KAFKA_PROBE_BROKERS' }, brokers, null);
  if (!known) return null;
  const auth = settings.read(
    { variable: 'KAFKA_PROBE_AUTH' },
    oneOf(['none', 'oauthbearer', 'mtls']),
    'oauthbearer',
  );
  return {
    brokers: known,
    auth,
    tls: settings.read({ variable: 'KAFKA_PROBE_TLS' }, yesOrNo, auth !== 'none'),
    ca: settings.pem({ variable: 'KAFKA_PROBE_CA' }),
    tokenTtlSeconds: settings.read({ variable: 'KAFKA_TOKEN_TTL' }, duration('10s', '1h'), 600_000) / 1000,
  };
}
