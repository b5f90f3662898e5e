import type { Logger } from 'pino';
import { oldestProbe } from '../shared/probe-versions.ts';
import { createApp } from './api/app.ts';
import { auditApi } from './api/audit.ts';
import { checksApi } from './api/checks.ts';
import { compareProbesApi } from './api/compare-probes.ts';
import { endpointsApi } from './api/endpoints.ts';
import { enrollmentsApi } from './api/enrollments.ts';
import { evidenceApi } from './api/evidence.ts';
import { probesApi } from './api/probes.ts';
import { regionsApi } from './api/regions.ts';
import { rejectsApi } from './api/rejects.ts';
import { resultsApi } from './api/results.ts';
import { serve } from './api/serve.ts';
import { signInLinksApi } from './api/sign-in-links.ts';
import { statusApi } from './api/status.ts';
import { tokensApi } from './api/tokens.ts';
import { type Closing, createClosing } from './closing.ts';
import type { HubConfig } from './config.ts';
import type { HubContext } from './context.ts';
import { createHubRegistry, watchHub } from './hub-metrics.ts';
import type { Bus } from './ingest/bus.ts';
import { createDirectBus } from './ingest/direct-bus.ts';
import { startHoleWatch } from './ingest/hole-watch.ts';
import { createIngest } from './ingest/ingest.ts';
import { createIngestMetrics } from './ingest/ingest-metrics.ts';
import { createKafkaBus } from './ingest/kafka-bus.ts';
import { probeRoutes } from './probe-routes.ts';
import { createReadiness } from './readiness.ts';
import { type Store, startStore } from './start-store.ts';
import { startHeartbeat } from './status/heartbeat.ts';
import { claimNote } from './store/claim-note.ts';
import { type Keeper, startKeeper } from './store/keeper.ts';
import { listenForChanges } from './store/listen-for-changes.ts';
import { partitionWidth } from './store/partition-plan.ts';
import { createCatalogMetrics } from './trust/catalog-metrics.ts';
import { countPairs } from './trust/count-pairs.ts';
import { startCatalog } from './trust/load-catalog.ts';
import { startRegistry } from './trust/load-registry.ts';
import { readProbeVersions } from './trust/probe-versions.ts';
import { reloadableKeys } from './trust/reloadable-keys.ts';
import { createSignInLink } from './trust/sign-in.ts';
import { type Leases, startLeases } from './trust/start-leases.ts';
import { createTrustMetrics } from './trust/trust-metrics.ts';
import { listenText } from './up/listen.ts';
import { pageRoutes } from './web/pages.tsx';

export interface HubProcess {
  /** This Parallax's own. */
  readonly version: string;
  readonly log: Logger;
  /** One line for the person at the terminal. */
  readonly say: (line: string) => void;
  /** Stops the hub. */
  readonly signal: AbortSignal;
}

/** All is stopped within ten seconds: what is in hand is finished first, in the order in which it came. */
const stopMs = { all: 9500, requests: 2000, bus: 4000 } as const;

/** Runs a hub until `signal`. Throws one line where it cannot start or cannot go on; what was started is stopped. */
export async function runHub(config: HubConfig, process: HubProcess): Promise<void> {
  const { log, signal } = process;
  const stopping = new AbortController();
  const broken = Promise.withResolvers<never>();
  broken.promise.catch(() => undefined);
  const closing = createClosing(log);
  try {
    const ended = untilAborted(signal);
    await Promise.race([
      startHub(config, process, stopping.signal, closing, broken.reject),
      ended,
      broken.promise,
    ]);
    await Promise.race([ended, broken.promise]);
  } catch (error) {
    if (!signal.aborted) throw error;
  } finally {
    log.info('stopping');
    stopping.abort(new Error('the hub is stopping'));
    await closing.run(stopMs.all);
    log.info('stopped');
  }
}

async function startHub(
  config: HubConfig,
  { version, log, say, signal }: HubProcess,
  stopping: AbortSignal,
  closing: Closing,
  onFatal: (error: Error) => void,
): Promise<void> {
  const now = () => Date.now() * 1000;
  const clockMs = () => Date.now();
  const { publicUrl, keysDir, retentionDays, roles } = config;
  const { db, migrations, topicsDue } = await startStore(config, log, say, signal);
  closing.add('database', () => db.end());
  const metrics = createHubRegistry();
  const trust = createTrustMetrics(metrics);

  const held = await reloadableKeys({ dir: keysDir, publicUrl, now, log });
  closing.add('keys', () => held.stop());
  const { keys } = held;
  const changes = listenForChanges({ url: config.databaseUrl, log });
  closing.add('changes', () => changes.stop());
  const catalog = await startCatalog({
    db,
    keys,
    secret: config.secret,
    alsoSecrets: config.alsoSecrets,
    changes,
    log,
    retentionDays,
    now,
    metrics: createCatalogMetrics(metrics),
  });
  closing.add('catalog', () => catalog.stop());
  const registry = await startRegistry({ db, keys, catalog, changes, log, metrics: trust });
  closing.add('registry', () => registry.stop());
  const policy = () => ({ width: partitionWidth(countPairs(catalog, registry)), retentionDays });
  const keeper = await startKeeper({ db, log, now, policy });
  closing.add('partitions', () => keeper.stop());
  const bus = createBus(config, db, log, topicsDue, onFatal);
  closing.add('bus', () => bus.stop());
  watchHub(metrics, { db, bus });
  const versions = await readProbeVersions(db, { newest: version, oldest: oldestProbe, nowUs: now() });

  const context: HubContext = {
    config,
    log,
    db,
    keys,
    catalog,
    registry,
    changes,
    bus,
    versions,
    metrics,
    now,
    stopping,
  };
  await takeIn(context, keeper, closing);
  const leases = roles.includes('api') ? await startLeases(context) : null;
  let leasesEnded: Promise<void> | undefined;
  const endLeases = () => {
    leasesEnded ??= leases?.stop();
    return leasesEnded;
  };
  closing.add('leases', endLeases);
  const health = createReadiness({ db, bus, keeper, schemaVersion: migrations.length, now, stopping });
  const app = createApp({
    config,
    version,
    log,
    db,
    keys,
    metrics,
    clockMs,
    health,
    ...(leases && { routes: routesOf(context, leases, trust) }),
  });
  const serving = await serve({ app, listen: config.listen, tls: config.tls, log, clockMs });
  closing.add('requests', () => serving.stop(stopMs.requests));
  const heartbeat = startHeartbeat({
    db,
    config,
    version,
    port: serving.port,
    bus,
    keeper,
    health,
    metrics,
    log,
  });
  closing.add('heartbeat', () => heartbeat.stop());
  // Before the server: whoever waits for a lease is answered.
  closing.add('waiting leases', () => {
    serving.drain();
    return endLeases();
  });

  const at = listenText({ ...config.listen, port: serving.port });
  log.info({ listen: at, publicUrl, roles, bus: bus.status().kind, version }, 'the hub is running');
  say(`hub ${version} is running on ${publicUrl} (listening on ${at})`);
  // One of the replicas, once in the life of this database.
  if (roles.includes('api') && (await claimNote(db, 'first sign-in link'))) {
    say(`sign in: ${await createSignInLink(db, keys, publicUrl)} (works once, for 15 minutes)`);
  }
}

function createBus(
  config: HubConfig,
  db: HubContext['db'],
  log: Logger,
  topicsDue: Store['topicsDue'],
  onFatal: (error: Error) => void,
): Bus {
  const { kafka, env } = config;
  if (!kafka) return createDirectBus({ log, drainMs: stopMs.bus });
  return createKafkaBus({ config: kafka, env, db, log, onFatal, ...(topicsDue && { prepare: topicsDue }) });
}

/** Results from the bus into the database, where this replica has that role. */
async function takeIn(context: HubContext, keeper: Keeper, closing: Closing): Promise<void> {
  const { config, db, registry, log, now, bus, metrics } = context;
  const { ingestMaxRows: maxRows, ingestMaxMs: maxMs, roles } = config;
  if (!roles.includes('ingest')) return;
  const ingestMetrics = createIngestMetrics(metrics);
  const holes = startHoleWatch({ db, log, metrics: ingestMetrics });
  closing.add('holes', () => holes.stop());
  const ingest = createIngest({
    db,
    registry,
    keeper,
    log,
    now,
    maxRows,
    maxMs,
    metrics: ingestMetrics,
  });
  await bus.start(ingest.handle);
}

function routesOf(context: HubContext, leases: Leases, trust: ReturnType<typeof createTrustMetrics>) {
  return {
    probes: probeRoutes(context, leases, trust),
    operators: [
      endpointsApi(context),
      enrollmentsApi(context),
      probesApi(context),
      compareProbesApi(context),
      regionsApi(context),
      resultsApi(context),
      checksApi(context),
      evidenceApi(context),
      rejectsApi(context),
      tokensApi(context),
      signInLinksApi(context),
      auditApi(context),
      statusApi(context),
    ],
    pages: [pageRoutes(context)],
  };
}

function untilAborted(signal: AbortSignal): Promise<void> {
  return new Promise((done) => {
    if (signal.aborted) done();
    signal.addEventListener('abort', () => done(), { once: true });
  });
}
