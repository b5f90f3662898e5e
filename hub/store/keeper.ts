import { setTimeout as wait } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { Database, Sql } from './database.ts';
import { deleteForgottenRevs } from './delete-forgotten-revs.ts';
import {
  deleteForgottenLatest,
  deleteForgottenReplicas,
  deleteForgottenStreams,
  deleteOutlived,
  deleteOutlivedEvidence,
  evidenceDays,
} from './delete-outlived.ts';
import { dayUs, type Partition, type PartitionPolicy, planPartitions } from './partition-plan.ts';
import {
  asKeeper,
  createPartition,
  databaseClock,
  dropPartition,
  listPartitions,
  splitPartition,
} from './partitions.ts';
import { moveSeal, readSeal } from './seal.ts';
import { deleteForgottenCertificates } from './upsert-certificates.ts';

/** Which instants have a partition, as this replica knows; and the care of them. */
export interface Keeper {
  hasPartition(scheduledAtUs: number): boolean;
  /** What was due before it is refused: it has outlived retention. Epoch microseconds; moves forward alone. */
  sealedUntilUs(): number;
  /** This machine's clock less the database's at the last look, microseconds. */
  clockSkewUs(): number;
  /** Reads again what there is. */
  look(): Promise<void>;
  /** Makes, drops and reads again now. */
  tend(): Promise<void>;
  stop(): Promise<void>;
}

export interface KeeperOptions {
  readonly db: Database;
  readonly log: Pick<Logger, 'info' | 'warn' | 'error'>;
  readonly now: () => number;
  /** The database's own clock, epoch microseconds. */
  readonly databaseNow?: (sql: Sql) => Promise<number>;
  /** Asked at each look. */
  readonly policy: () => PartitionPolicy;
  readonly everyMs?: number;
}

/** Further apart and leases, nonces and the judgement of late results suffer: somebody must set a clock. */
const maxSkewUs = 60_000_000;
/** A drop gives way to who reads, such as pg_dump: writers never stand behind it for longer. */
const dropLockMs = 500;
const dropTries = 4;

/** Resolves when today's partition is there: nothing can be stored before. */
export async function startKeeper(options: KeeperOptions): Promise<Keeper> {
  const { db, log, now, databaseNow = databaseClock, policy, everyMs = 10 * 60_000 } = options;
  const stopping = new AbortController();
  let partitions: readonly Partition[] = [];
  let last: Partition | undefined;
  let sealedUs = 0;
  let skewUs = 0;

  async function tend(): Promise<void> {
    const { create, drop, nowUs } = await asKeeper(db, async (sql) => {
      const clocks = { hubUs: now(), databaseUs: await databaseNow(sql) };
      compareClocks(clocks.hubUs - clocks.databaseUs);
      const sealed = await readSeal(sql);
      const existing = await listPartitions(sql);
      const plan = planPartitions(existing, clocks, { ...policy(), sealedUs: sealed ?? 0 });
      for (const partition of plan.create) await createPartition(sql, partition);
      // Where nothing was dropped yet, what lies before the first partition is as late.
      if (sealed === null) {
        await moveSeal(sql, Math.min(...[...existing, ...plan.create].map(({ fromUs }) => fromUs)));
      }
      return { ...plan, nowUs: Math.min(clocks.hubUs, clocks.databaseUs) };
    });
    await look();
    if (create.length > 0) log.info({ partitions: create.length }, 'partitions made');
    await narrow();
    await tidy(drop, nowUs).catch((error: unknown) =>
      log.warn({ err: error }, 'what has outlived retention could not be dropped: later'),
    );
  }

  async function look(): Promise<void> {
    const [there, sealed] = await Promise.all([listPartitions(db), readSeal(db)]);
    partitions = there;
    sealedUs = Math.max(sealedUs, sealed ?? 0);
    last = undefined;
  }

  function compareClocks(differenceUs: number): void {
    skewUs = differenceUs;
    if (Math.abs(skewUs) < maxSkewUs) return;
    log.error(
      { skewSeconds: Math.round(skewUs / 1_000_000) },
      `the clock of this machine is ${Math.round(Math.abs(skewUs) / 1_000_000)} s ${skewUs > 0 ? 'ahead of' : 'behind'} the database's: set them right (NTP); until then only what is too old by both is dropped`,
    );
  }

  /** A burst of new pairs makes the days ahead hours: what lies in them already stays as it is. */
  async function narrow(): Promise<void> {
    const { split } = planPartitions(
      partitions,
      { hubUs: now(), databaseUs: now() - skewUs },
      { ...policy(), sealedUs },
    );
    let made = 0;
    for (const partition of split) {
      const done = await patiently(() =>
        asKeeper(db, (sql) => splitPartition(sql, partition), { lockMs: dropLockMs }),
      ).catch((error: unknown) => {
        log.warn({ err: error, partition: partition.name }, 'a day could not be made hours: later');
        return false;
      });
      if (done) made += 1;
    }
    if (made === 0) return;
    await look();
    log.info({ days: made }, 'there are more than 100,000 pairs: days ahead made hours');
  }

  /** What may wait: a partition that somebody reads is dropped another time, and holds up no start. */
  async function tidy(drop: readonly Partition[], nowUs: number): Promise<void> {
    const oldestUs = nowUs - policy().retentionDays * dayUs;
    for (const partition of drop) {
      await patiently(() => asKeeper(db, (sql) => dropPartition(sql, partition), { lockMs: dropLockMs }));
      sealedUs = Math.max(sealedUs, partition.toUs);
    }
    if (drop.length > 0) await look();
    const deleted = await asKeeper(
      db,
      async (sql) =>
        (await deleteOutlived(sql, oldestUs)) +
        (await deleteOutlivedEvidence(sql, nowUs - evidenceDays * dayUs)) +
        (await deleteForgottenStreams(sql, oldestUs)) +
        (await deleteForgottenLatest(sql, oldestUs)) +
        (await deleteForgottenCertificates(sql, oldestUs)) +
        (await deleteForgottenReplicas(sql)) +
        (await deleteForgottenRevs(sql, oldestUs)),
    );
    if (drop.length + deleted > 0)
      log.info({ partitions: drop.length, rows: deleted }, 'past retention: dropped');
  }

  /** Short tries with pauses in which writers pass, in place of one long wait that holds them all up. */
  async function patiently<T>(work: () => Promise<T>): Promise<T> {
    for (let tried = 1; ; tried += 1) {
      try {
        return await work();
      } catch (error) {
        const isLocked = (error as { code?: string }).code === '55P03';
        if (!isLocked || tried >= dropTries || stopping.signal.aborted) throw error;
        await wait(250 * tried, undefined, { signal: stopping.signal });
      }
    }
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
    sealedUntilUs: () => sealedUs,
    clockSkewUs: () => skewUs,
    look,
    tend,
    async stop() {
      clearInterval(timer);
      stopping.abort();
      await running;
    },
  };
}
