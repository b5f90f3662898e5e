import type { Logger } from 'pino';
import type { Database } from './database.ts';
import { deleteForgottenLatest, deleteForgottenStreams, deleteOutlived } from './delete-outlived.ts';
import { dayUs, type Partition, type PartitionPolicy, planPartitions } from './partition-plan.ts';
import { asKeeper, createPartition, dropPartition, listPartitions } from './partitions.ts';

/** Which instants have a partition, as this replica knows; and the care of them. */
export interface Keeper {
  hasPartition(scheduledAtUs: number): boolean;
  /** Makes, drops and reads again now. */
  tend(): Promise<void>;
  stop(): Promise<void>;
}

export interface KeeperOptions {
  readonly db: Database;
  readonly log: Pick<Logger, 'info' | 'warn' | 'error'>;
  readonly now: () => number;
  /** Asked at each look. */
  readonly policy: () => PartitionPolicy;
  readonly everyMs?: number;
}

/** Resolves when today's partition is there: nothing can be stored before. */
export async function startKeeper(options: KeeperOptions): Promise<Keeper> {
  const { db, log, now, policy, everyMs = 10 * 60_000 } = options;
  let partitions: readonly Partition[] = [];
  let last: Partition | undefined;

  async function tend(): Promise<void> {
    const { create, drop } = await asKeeper(db, async (sql) => {
      const plan = planPartitions(await listPartitions(sql), now(), policy());
      for (const partition of plan.create) await createPartition(sql, partition);
      return plan;
    });
    // Not offered any more before they are dropped.
    const outlived = new Set(drop.map((partition) => partition.name));
    partitions = (await listPartitions(db)).filter((partition) => !outlived.has(partition.name));
    last = undefined;
    if (create.length > 0) log.info({ partitions: create.length }, 'partitions made');
    await tidy(drop).catch((error: unknown) =>
      log.warn({ err: error }, 'what has outlived retention could not be dropped: later'),
    );
  }

  /** What may wait: a partition that somebody reads is dropped another time, and holds up no start. */
  async function tidy(drop: readonly Partition[]): Promise<void> {
    for (const partition of drop) await asKeeper(db, (sql) => dropPartition(sql, partition));
    const oldestUs = now() - policy().retentionDays * dayUs;
    const deleted = await asKeeper(
      db,
      async (sql) =>
        (await deleteOutlived(sql, oldestUs)) +
        (await deleteForgottenStreams(sql, oldestUs)) +
        (await deleteForgottenLatest(sql, oldestUs)),
    );
    if (drop.length + deleted > 0)
      log.info({ partitions: drop.length, rows: deleted }, 'past retention: dropped');
  }

  await tend();
  let running: Promise<void> = Promise.resolve();
  const timer = setInterval(() => {
    running = tend().catch((error: unknown) => log.error({ err: error }, 'partitions could not be tended'));
  }, everyMs);
  return {
    hasPartition(scheduledAtUs) {
      if (last && scheduledAtUs >= last.fromUs && scheduledAtUs < last.toUs) return true;
      last = partitions.find((one) => scheduledAtUs >= one.fromUs && scheduledAtUs < one.toUs);
      return last !== undefined;
    },
    tend,
    async stop() {
      clearInterval(timer);
      await running;
    },
  };
}
