import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pino from 'pino';
import type { KafkaJars } from '../../deploy/kafka/java.ts';
import { type SecureBroker, startSecureBroker } from '../../deploy/kafka/secure.ts';
import type { HubKafkaConfig } from '../../hub/config.ts';
import { openSetup } from '../../hub/ingest/cluster-setup.ts';
import { freePort } from '../../hub/process/port.ts';
import { readKafkaSettings } from '../../hub/read-store-config.ts';

export interface SecureKafka {
  readonly broker: SecureBroker;
  readonly dataDir: string;
  /** PEM of the broker's authority, with its key. */
  readonly authority: { readonly cert: string; readonly key: string };
  /** As a hub reads it from hub.env, or an admin from admin.env. */
  config(who: 'hub' | 'admin', over?: Readonly<Record<string, string>>): HubKafkaConfig;
  stop(): Promise<void>;
}

/** A broker that believes nobody, with the topics, ACLs and quotas of `env`. */
export async function startSecureKafka(
  jars: KafkaJars,
  options: {
    readonly hub: string;
    readonly env: string;
    readonly partitions?: number;
    readonly probeBytesPerSecond?: number;
    readonly properties?: Readonly<Record<string, string>>;
  },
): Promise<SecureKafka> {
  const { hub, env, partitions = 4, probeBytesPerSecond = 1024 ** 2, properties = {} } = options;
  const dataDir = await mkdtemp(join(tmpdir(), 'parallax-kafka-'));
  const broker = await startSecureBroker({
    jars,
    port: await freePort(),
    probePort: await freePort(),
    dataDir,
    hub,
    heapMb: 384,
    signal: AbortSignal.timeout(120_000),
    properties,
  });
  const config: SecureKafka['config'] = (who, over = {}) => {
    const { kafka } = readKafkaSettings({
      PARALLAX_ENV: env,
      KAFKA_PARTITIONS: String(partitions),
      ...broker.env[who],
      ...over,
    });
    if (!kafka) throw new Error('the broker has no address');
    return kafka;
  };
  const setup = openSetup(config('admin'), pino({ level: 'silent' }));
  const { steps } = await setup.plan({
    config: config('admin'),
    env,
    hubPrincipal: 'User:parallax-hub',
    probePrincipals: ['User:*'],
    probeBytesPerSecond,
  });
  for (const step of steps) await setup.apply(step);
  const [cert, key] = await Promise.all(
    ['ca.crt', 'ca.key'].map((file) => readFile(join(dataDir, 'tls', file), 'utf8')),
  );
  return {
    broker,
    dataDir,
    authority: { cert: cert ?? '', key: key ?? '' },
    config,
    async stop() {
      await broker.stop();
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}
