import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import type { Logger } from 'pino';
import type { Registry as MetricsRegistry } from 'prom-client';
import type { Health } from '../api/health.ts';
import type { HubConfig } from '../config.ts';
import type { Bus } from '../ingest/bus.ts';
import type { Database } from '../store/database.ts';
import { beatReplica, forgetReplica } from '../store/hub-replicas.ts';
import type { Keeper } from '../store/keeper.ts';
import { secretMark } from '../trust/check-secret.ts';
import { listenText } from '../up/listen.ts';
import { certificateEnds } from './certificate-ends.ts';
import { databaseDisk } from './database-disk.ts';
import type { ReplicaReport } from './replica-report.ts';

export interface HeartbeatOptions {
  readonly db: Database;
  readonly config: HubConfig;
  readonly version: string;
  /** Where it really listens, which the configuration may leave open. */
  readonly port: number;
  readonly bus: Pick<Bus, 'status'>;
  readonly keeper: Pick<Keeper, 'clockSkewUs'>;
  readonly health: Health;
  readonly metrics: MetricsRegistry;
  readonly log: Pick<Logger, 'warn' | 'info'>;
  readonly everyMs?: number;
}

export interface Heartbeat {
  stop(): Promise<void>;
}

/** Writes what this replica says of itself into the database, for `parallax status`; takes it away at a clean stop. */
export function startHeartbeat(options: HeartbeatOptions): Heartbeat {
  const { db, config, version, port, log, everyMs = 5000 } = options;
  const id = randomUUID();
  const rate = createRate(() => rowsStored(options.metrics));
  let failed = false;
  let stopped = false;

  async function beat(): Promise<void> {
    const report = await reportOf(options, await rate(), listenText({ ...config.listen, port }));
    if (stopped) return;
    await beatReplica(db, { id, host: hostname(), pid: process.pid, version, roles: config.roles, report });
  }

  function beatOrComplain(): Promise<void> {
    return beat().then(
      () => {
        failed = false;
      },
      (error: unknown) => {
        if (!failed)
          log.warn({ err: error }, 'this replica cannot tell of itself: parallax status will miss it');
        failed = true;
      },
    );
  }

  let running = beatOrComplain();
  const timer = setInterval(() => {
    // Never two at once: a database that hangs would gather them.
    running = running.then(beatOrComplain);
  }, everyMs);
  return {
    async stop() {
      stopped = true;
      clearInterval(timer);
      await running;
      await forgetReplica(db, id);
    },
  };
}

async function reportOf(
  { db, config, bus, keeper, health }: HeartbeatOptions,
  rowsASecond: number,
  listen: string,
): Promise<ReplicaReport> {
  const { kind, ready, reason, lag, slowest = null } = bus.status();
  return {
    listen,
    bus: { kind, ready, reason, lag, slowest },
    missing: (await health()).map(({ what, why }) => ({ what, why })),
    rowsASecond,
    clockSkewMs: Math.round(keeper.clockSkewUs() / 1000),
    rssBytes: process.memoryUsage.rss(),
    pool: db.pool(),
    leaseTtlSeconds: config.leaseTtlSeconds,
    sealsWith: secretMark(config.secret),
    retentionDays: config.retentionDays,
    certificates: await certificateEnds(config),
    disk: await databaseDisk(db, config.databaseUrl),
  };
}

async function rowsStored(metrics: MetricsRegistry): Promise<number> {
  const read = await metrics.getSingleMetric('parallax_ingest_rows_total')?.get();
  return read?.values[0]?.value ?? 0;
}

/** How fast a counter grew since it was last asked for, a second. */
function createRate(count: () => Promise<number>): () => Promise<number> {
  let before = { atMs: performance.now(), count: 0 };
  return async () => {
    const now = { atMs: performance.now(), count: await count() };
    const rate = ((now.count - before.count) * 1000) / Math.max(1, now.atMs - before.atMs);
    before = now;
    return Math.max(0, rate);
  };
}
