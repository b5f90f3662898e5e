import type { Logger } from 'pino';
import type { Registry as MetricsRegistry } from 'prom-client';
import type { KafkaAccess } from '../../shared/lease.ts';
import type { ProbeVersions } from '../../shared/probe-versions.ts';
import type { HubConfig } from '../config.ts';
import { topicNames } from '../ingest/topics.ts';
import { createOrderBook } from '../orders/order-book.ts';
import type { Changes } from '../store/changes.ts';
import type { Database } from '../store/database.ts';
import { countSeenProbes } from '../store/list-shard-probes.ts';
import { createArrivals } from './arrivals.ts';
import type { Catalog } from './catalog.ts';
import { watchDurable } from './durable-watch.ts';
import type { HubKeys } from './keys.ts';
import { createLeaseDesk, type LeaseDesk, type LeaseJobs } from './lease-desk.ts';
import { createLeaseMetrics, type LeaseMetrics } from './lease-metrics.ts';
import { createManifests, type Manifests } from './manifests.ts';
import type { Registry } from './registry.ts';
import { createSecretBox } from './sealed-secrets.ts';
import { createShardDocuments, type ShardDocuments } from './shard-documents.ts';
import { type ShardKeeper, startShardKeeper } from './shard-keeper.ts';
import { type ShardOwners, startShardOwners } from './shard-owners.ts';

export interface LeasesOptions {
  readonly config: Pick<
    HubConfig,
    'publicUrl' | 'leaseTtlSeconds' | 'env' | 'kafka' | 'secret' | 'alsoSecrets'
  >;
  readonly db: Database;
  readonly keys: Pick<HubKeys, 'lease'>;
  readonly registry: Registry;
  readonly catalog: Catalog;
  readonly changes: Changes;
  readonly log: Logger;
  /** Epoch microseconds. */
  readonly now: () => number;
  readonly metrics?: MetricsRegistry;
  readonly jobs?: LeaseJobs;
  readonly versions?: ProbeVersions;
  /** Longest wait of one poll; 8 s. */
  readonly waitMs?: number;
}

/** Who checks what, and how probes hear of it: give it to leaseRoutes and assignmentRoutes. */
export interface Leases {
  readonly desk: LeaseDesk;
  readonly manifests: Manifests;
  readonly documents: ShardDocuments;
  readonly owners: ShardOwners;
  readonly keeper: ShardKeeper;
  readonly metrics: LeaseMetrics;
  /** Answers all who wait and stops looking after shards. Call it before the server closes. */
  stop(): Promise<void>;
}

const noJobs: LeaseJobs = { waiting: () => 0, take: () => [] };
const countEveryMs = 15_000;

/** Resolves when the owners of all shards are read. */
export async function startLeases(options: LeasesOptions): Promise<Leases> {
  const { config, db, keys, registry, catalog, changes, log, now, jobs = noJobs } = options;
  const metrics = createLeaseMetrics(options.metrics);
  const owners = await startShardOwners({ db, changes, log });
  const documents = createShardDocuments({ catalog, registry, log, metrics });
  const manifests = createManifests(owners, documents);
  const keeper = startShardKeeper({
    db,
    registry,
    owners,
    ranksOf: documents.ranksOf,
    log,
    metrics,
    now,
  });
  const probes = countProbes(db, now, log);
  const box = createSecretBox(config.secret, config.alsoSecrets);
  const orders = createOrderBook({ db, changes, box, log });
  const desk = createLeaseDesk({
    publicUrl: config.publicUrl,
    leaseTtlSeconds: config.leaseTtlSeconds,
    kafka: kafkaAccess(config),
    ...(options.versions && { versions: options.versions }),
    keys,
    registry,
    arrivals: createArrivals({ db, now, leaseTtlSeconds: config.leaseTtlSeconds }),
    manifests,
    jobs,
    orders,
    probesAbout: probes.about,
    onFirst: keeper.nudge,
    metrics,
    now,
    ...(options.waitMs !== undefined && { waitMs: options.waitMs }),
  });
  const durable = watchDurable({ db, changes, desk, log });
  const unsubscribe = [
    owners.subscribe((regionIds) => desk.lookAgain(regionIds)),
    documents.subscribe((regionIds) => desk.lookAgain(regionIds)),
    catalog.subscribe(() => keeper.nudge()),
    changes.subscribe('jobs', () => desk.lookAgain()),
    orders.subscribe((regionIds) => desk.lookAgain(regionIds)),
    changes.subscribe('probes', () => {
      // Its own listener reads the same: who comes second waits for the one look.
      registry.refresh().then(
        () => {
          desk.lookAgain();
          keeper.nudge();
        },
        (error: unknown) => log.warn({ err: error }, 'probes could not be read again'),
      );
    }),
  ];
  return {
    desk,
    manifests,
    documents,
    owners,
    keeper,
    metrics,
    async stop() {
      for (const each of unsubscribe) each();
      desk.stop();
      probes.stop();
      owners.stop();
      await Promise.all([keeper.stop(), durable.stop(), documents.stop(), orders.stop()]);
    },
  };
}

function kafkaAccess({ kafka, env }: LeasesOptions['config']): KafkaAccess | null {
  const access = kafka?.probes;
  if (!access) return null;
  const { brokers, auth, tls, ca } = access;
  return { brokers: [...brokers], topic: topicNames(env).results, auth, tls, ca };
}

/** How many probes there are, about: counted now and then. */
function countProbes(db: Database, now: () => number, log: Pick<Logger, 'warn'>) {
  let count = 0;
  const look = () => {
    countSeenProbes(db, now() - 60_000_000).then(
      (seen) => {
        count = seen;
      },
      (error: unknown) => log.warn({ err: error }, 'the probes could not be counted'),
    );
  };
  look();
  const timer = setInterval(look, countEveryMs);
  return { about: () => count, stop: () => clearInterval(timer) };
}
