import type { Logger } from 'pino';
import { tellChange } from '../store/changes.ts';
import type { Database, Sql } from '../store/database.ts';
import { readHubNote, writeHubNote } from '../store/hub-notes.ts';
import { listShardOwners } from '../store/list-shard-owners.ts';
import { listShardProbes, type ShardProbeRow } from '../store/list-shard-probes.ts';
import { deleteEndedShards, moveShards } from '../store/move-shards.ts';
import type { LeaseMetrics } from './lease-metrics.ts';
import type { Registry } from './registry.ts';
import { holdShards, readShardsNote } from './shard-hold.ts';
import { isEmptyPlan, planShards } from './shard-plan.ts';
import type { ShardOwner } from './shard-seats.ts';

export interface ShardKeeperOptions {
  readonly db: Database;
  readonly registry: Pick<Registry, 'probeById'>;
  /** Who owns what, as this replica remembers: to see without a query that nothing is to do. */
  readonly owners: { ofRegion(regionId: number): readonly ShardOwner[] };
  /** Most replicas of any endpoint of the region, at least 1. */
  readonly ranksOf: (regionId: number) => number;
  readonly log: Pick<Logger, 'info' | 'warn' | 'error'>;
  readonly metrics: Pick<LeaseMetrics, 'moved' | 'held'>;
  /** Epoch microseconds. */
  readonly now: () => number;
  /** Null: only when told. */
  readonly everyMs?: number | null;
}

export interface ShardKeeper {
  /** Looks after all regions now; false where another replica is at it. */
  tend(): Promise<boolean>;
  /** Looks soon: something happened that may call for a plan. */
  nudge(): void;
  stop(): Promise<void>;
}

/** Any number nobody else uses. */
const shardsLock = 7_125_306_404;
const noteKey = 'shards';
/** What has ended is still served for so long to the one who may be late in hearing of it. */
const keepEndedUs = 60_000_000;
const slowestUs = 1_500_000;
const nudgeMs = 50;

/** One replica at a time looks after the shards of all regions, every second and when nudged. */
export function startShardKeeper(options: ShardKeeperOptions): ShardKeeper {
  const { db, registry, owners, ranksOf, log, metrics, now, everyMs = 1000 } = options;
  let heldBefore = false;

  async function tend(): Promise<boolean> {
    return db.transaction(async (sql) => {
      await sql.run("set local lock_timeout = '5s'");
      const { locked } = await sql.one<{ locked: boolean }>(
        'select pg_try_advisory_xact_lock($1::bigint) as locked',
        [shardsLock],
      );
      if (!locked) return false;
      const nowUs = now();
      const probes = (await listShardProbes(sql)).filter(isTrusted);
      const newestSeenUs = probes.length > 0 ? Math.max(...probes.map((probe) => probe.seenUs)) : null;
      const note = holdShards(readShardsNote(await readHubNote(sql, noteKey)), nowUs, newestSeenUs);
      await writeHubNote(sql, noteKey, note);
      const held = nowUs < note.heldUntilUs;
      tellHeld(held);
      let changed = 0;
      for (const [regionId, ofRegion] of Map.groupBy(probes, (probe) => probe.regionId)) {
        changed += await tendRegion(sql, regionId, ofRegion, nowUs, held);
      }
      changed += await deleteEndedShards(sql, nowUs - keepEndedUs);
      if (changed > 0) await tellChange(sql, 'shards');
      // An announcement that comes late is none: rather all of it anew.
      if (now() - nowUs > slowestUs) throw new Error('the database took too long to move shards');
      return true;
    });
  }

  /** A row that only the database's writer made is nobody. */
  function isTrusted({ id, regionId }: ShardProbeRow): boolean {
    const known = registry.probeById(id);
    return known?.status === 'active' && known.regionId === regionId;
  }

  async function tendRegion(
    sql: Sql,
    regionId: number,
    probes: readonly ShardProbeRow[],
    nowUs: number,
    held: boolean,
  ): Promise<number> {
    const scene = { probes, ranks: ranksOf(regionId), nowUs, held };
    if (isEmptyPlan(planShards({ ...scene, owners: owners.ofRegion(regionId) }))) return 0;
    // Memory may be behind: what is written rests on what stands there under the lock.
    const plan = planShards({ ...scene, owners: await listShardOwners(sql, regionId) });
    if (isEmptyPlan(plan)) return 0;
    await moveShards(sql, regionId, plan);
    metrics.moved(plan.begin.length);
    log.info({ region: regionId, given: plan.begin.length, ended: plan.change.length }, 'shards moved');
    return plan.begin.length + plan.change.length + plan.cancel.length;
  }

  function tellHeld(held: boolean): void {
    metrics.held(held);
    if (held && !heldBefore) {
      log.warn('the hub was away or heard no probe: no shard moves until all have had time to ask again');
    }
    heldBefore = held;
  }

  let running: Promise<unknown> = Promise.resolve();
  let timer: NodeJS.Timeout | undefined;
  let dueMs = 0;
  let broken = false;
  let stopped = false;

  function schedule(inMs: number): void {
    if (stopped || everyMs === null) return;
    clearTimeout(timer);
    dueMs = performance.now() + inMs;
    timer = setTimeout(() => {
      running = tend()
        .then(
          () => {
            broken = false;
          },
          (error: unknown) => {
            if (!broken) log.error({ err: error }, 'the shards could not be looked after: trying again');
            broken = true;
          },
        )
        .finally(() => schedule(everyMs));
      dueMs = Number.POSITIVE_INFINITY;
    }, inMs);
  }

  schedule(0);
  return {
    tend,
    nudge() {
      if (Number.isFinite(dueMs) && dueMs > performance.now() + nudgeMs) schedule(nudgeMs);
    },
    async stop() {
      stopped = true;
      clearTimeout(timer);
      await running;
    },
  };
}
