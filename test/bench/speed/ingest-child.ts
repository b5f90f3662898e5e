// A hub's ingest role alone: Kafka in, verified, stored. All of it is the hub's own code but who is trusted.
import pino from 'pino';
import { createIngest } from '../../../hub/ingest/ingest.ts';
import { createIngestMetrics } from '../../../hub/ingest/ingest-metrics.ts';
import { createKafkaBus } from '../../../hub/ingest/kafka-bus.ts';
import { createTopics } from '../../../hub/ingest/kafka-topics.ts';
import { readKafkaConfig } from '../../../hub/read-kafka-config.ts';
import { createSettings } from '../../../hub/settings.ts';
import { openDatabase } from '../../../hub/store/database.ts';
import type { RegisteredProbe, Registry } from '../../../hub/trust/registry.ts';
import { ed25519PublicKey } from '../../../shared/signing.ts';
import { benchProbeKey } from '../scale/probe-key.ts';
import type { LoadShape } from './load-shape.ts';

export interface IngestTask extends LoadShape {
  readonly url: string;
  readonly broker: string;
  readonly maxRows: number;
  readonly maxMs: number;
}

export interface IngestTold {
  /** Its partitions are its own. */
  readonly ready: boolean;
  readonly stored: number;
  readonly rejected: number;
  readonly skipped: number;
  readonly transactions: number;
  readonly cpuSeconds: number;
  readonly rssMb: number;
}

const task = JSON.parse(process.argv[2] ?? '') as IngestTask;
const log = pino({ level: 'warn' }, pino.destination(2));
const db = openDatabase({ url: task.url, applicationName: 'parallax-hub' });
const settings = createSettings({ KAFKA_BROKERS: task.broker }, () => '');
const config = readKafkaConfig(settings, 'bench');
settings.settle();
if (!config) throw new Error('there is no Kafka');
await createTopics(config, 'bench', log);

const told = { stored: 0, rejected: 0, skipped: 0, transactions: 0 };
const metrics = createIngestMetrics();
const ingest = createIngest({
  db,
  registry: trusting(task),
  keeper: {
    hasPartition: () => true,
    sealedUntilUs: () => 0,
    look: async () => undefined,
    tend: async () => undefined,
  },
  log,
  now: () => Date.now() * 1000,
  maxRows: task.maxRows,
  maxMs: task.maxMs,
  metrics: {
    ...metrics,
    stored(_, rows) {
      told.stored += rows;
      told.transactions += 1;
    },
    rejected(_, count) {
      told.rejected += count;
    },
    skipped(_, count) {
      told.skipped += count;
    },
  },
});
const bus = createKafkaBus({
  config,
  env: 'bench',
  db,
  log,
  onFatal(error) {
    log.error({ err: error }, 'reading ended');
    process.exitCode = 1;
  },
});
await bus.start(ingest.handle);
const tell = () => {
  const { user, system } = process.cpuUsage();
  const rssMb = process.memoryUsage.rss() / 1e6;
  const { ready } = bus.status();
  process.stdout.write(`${JSON.stringify({ ...told, ready, cpuSeconds: (user + system) / 1e6, rssMb })}\n`);
};
tell();
const ticker = setInterval(tell, 1000);
process.once('SIGTERM', async () => {
  clearInterval(ticker);
  await bus.stop();
  await db.end();
});

/** The bench's probes and endpoints, as a registry would have them in memory. */
function trusting({ endpoints, regions, probes }: LoadShape): Registry {
  const byKid = new Map<string, RegisteredProbe>();
  for (let id = 1; id <= probes; id += 1) {
    const { kid, publicKey } = benchProbeKey(id);
    const regionId = ((id - 1) % regions) + 1;
    byKid.set(kid, {
      id,
      name: `probe-${id}`,
      regionId,
      kid,
      publicKey: ed25519PublicKey(publicKey),
      status: 'active',
    });
  }
  const all: ReadonlySet<number> = new Set(Array.from({ length: regions }, (_, index) => index + 1));
  const known = new Map(Array.from({ length: endpoints }, (_, index) => [index + 1, all]));
  return {
    probeByKid: (kid) => byKid.get(kid),
    probeById: () => undefined,
    regionById: () => undefined,
    regions: () => [],
    regionsOfEndpoint: (id) => known.get(id),
    refresh: async () => undefined,
    stop: () => undefined,
  };
}
