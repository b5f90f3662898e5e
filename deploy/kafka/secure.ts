import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { kafkaAudience } from '../../hub/api/kafka-token.ts';
import { freePort } from '../../hub/process/port.ts';
import { type Broker, type BrokerOptions, startBroker } from './broker.ts';
import { type Credentials, holders, keepCredentials } from './credentials.ts';
import { startJwksMirror } from './jwks-mirror.ts';

export interface SecureOptions extends Pick<BrokerOptions, 'jars' | 'port' | 'dataDir' | 'signal'> {
  /** Loopback port for probes; must be free. */
  readonly probePort: number;
  /** The hub's PARALLAX_PUBLIC_URL: the issuer of tokens that are believed, and where its keys are read. */
  readonly hub: string;
  readonly heapMb?: number;
  readonly properties?: Readonly<Record<string, string>>;
}

export interface SecureBroker extends Broker {
  /** 'host:port', as KAFKA_PROBE_BROKERS wants it. */
  readonly probeAddress: string;
  readonly credentials: Credentials;
  /** What a hub, and whoever sets the cluster up, is to be told. */
  readonly env: Readonly<Record<'hub' | 'admin', Readonly<Record<string, string>>>>;
}

const oauth = 'org.apache.kafka.common.security.oauthbearer';
/** A token's whole life: the broker ends a connection earlier where its token does. */
const maxReauthMs = 600_000;

/**
 * One node of Apache Kafka on loopback that believes nobody: TLS throughout, the hub by its certificate, probes by the
 * hub's tokens, and no right that no ACL gives.
 */
export async function startSecureBroker(options: SecureOptions): Promise<SecureBroker> {
  const { jars, port, probePort, dataDir, signal, hub, heapMb } = options;
  const credentials = await keepCredentials(join(dataDir, 'tls'), Date.now());
  const probeAddress = `127.0.0.1:${probePort}`;
  const env = {
    hub: environmentOf('hub', `127.0.0.1:${port}`, probeAddress, credentials),
    admin: environmentOf('admin', `127.0.0.1:${port}`, probeAddress, credentials),
  };
  // Before the broker, which may take its time: a hub can be started meanwhile.
  for (const [name, variables] of Object.entries(env)) {
    const lines = Object.entries(variables).map(([variable, value]) => `${variable}=${value}\n`);
    await writeFile(join(dataDir, `${name}.env`), lines.join(''), { mode: 0o600 });
  }
  const mirror = await startJwksMirror(hub, join(dataDir, 'jwks.json'));
  try {
    const [ca, cert, key] = await Promise.all(
      [credentials.ca, credentials.of.admin.cert, credentials.of.admin.key].map((file) =>
        readFile(file, 'utf8'),
      ),
    );
    const broker = await startBroker({
      jars,
      port,
      dataDir,
      signal,
      ...(heapMb !== undefined && { heapMb }),
      // Kafka asks for this by a property of its JVM, so that no setting can make it call anywhere.
      jvmFlags: [`-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls=${mirror.url}`],
      ssl: { ca: ca ?? '', cert: cert ?? '', key: key ?? '' },
      properties: { ...(await secureProperties(options, credentials, mirror.url)), ...options.properties },
    });
    const stop = async () => {
      await broker.stop();
      await mirror.close();
    };
    return { ...broker, probeAddress, credentials, env, stop };
  } catch (error) {
    await mirror.close();
    throw error;
  }
}

async function secureProperties(
  { port, probePort, hub, dataDir }: SecureOptions,
  { ca, of }: Credentials,
  jwks: string,
): Promise<Record<string, string>> {
  const controller = `127.0.0.1:${await freePort()}`;
  const open = `HUB://127.0.0.1:${port},PROBES://127.0.0.1:${probePort}`;
  return {
    listeners: `${open},CONTROLLER://${controller}`,
    'advertised.listeners': open,
    'controller.quorum.voters': `1@${controller}`,
    'inter.broker.listener.name': 'HUB',
    'listener.security.protocol.map': 'HUB:SSL,PROBES:SASL_SSL,CONTROLLER:SSL',

    'ssl.keystore.type': 'PEM',
    'ssl.keystore.location': of.broker.both,
    'ssl.truststore.type': 'PEM',
    'ssl.truststore.location': ca,
    'ssl.client.auth': 'required',
    'ssl.principal.mapping.rules': 'RULE:^CN=([A-Za-z0-9._-]+)$/$1/,DEFAULT',

    'listener.name.probes.ssl.client.auth': 'none',
    'listener.name.probes.sasl.enabled.mechanisms': 'OAUTHBEARER',
    'listener.name.probes.oauthbearer.sasl.server.callback.handler.class': `${oauth}.OAuthBearerValidatorCallbackHandler`,
    'listener.name.probes.oauthbearer.sasl.jaas.config': `${oauth}.OAuthBearerLoginModule required;`,
    'listener.name.probes.sasl.oauthbearer.jwks.endpoint.url': jwks,
    'listener.name.probes.sasl.oauthbearer.expected.audience': kafkaAudience,
    'listener.name.probes.sasl.oauthbearer.expected.issuer': hub,
    'listener.name.probes.sasl.oauthbearer.jwt.validator.class': `${oauth}.BrokerJwtValidator`,
    // Beside the hub, on the same clock: an expired token is not believed for half a minute more.
    'listener.name.probes.sasl.oauthbearer.clock.skew.seconds': '2',
    'listener.name.probes.connections.max.reauth.ms': String(maxReauthMs),
    // A hub that starts after the broker, and a rotated key, are known so soon.
    'sasl.oauthbearer.jwks.endpoint.refresh.ms': '2000',

    'authorizer.class.name': 'org.apache.kafka.metadata.authorizer.StandardAuthorizer',
    'allow.everyone.if.no.acl.found': 'false',
    'super.users': `User:${holders.broker.commonName};User:${holders.admin.commonName}`,
    'log.dirs': join(dataDir, 'log'),
  };
}

function environmentOf(
  holder: 'hub' | 'admin',
  brokers: string,
  probeBrokers: string,
  { ca, of }: Credentials,
): Record<string, string> {
  return {
    KAFKA_BROKERS: brokers,
    KAFKA_CA: ca,
    KAFKA_CERT: of[holder].cert,
    KAFKA_KEY: of[holder].key,
    KAFKA_PROBE_BROKERS: probeBrokers,
    KAFKA_PROBE_AUTH: 'oauthbearer',
    KAFKA_PROBE_CA: ca,
  };
}
