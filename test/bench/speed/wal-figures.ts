import type { Database } from '../../../hub/store/database.ts';
import { treeCpuSeconds } from '../process-figures.ts';

/** What a server has done since it began to count. */
export interface ServerFigures {
  readonly walBytes: number;
  /** Whole pages in the WAL: the first change of each after a checkpoint. */
  readonly pageImages: number;
  readonly checkpoints: number;
  readonly cpuSeconds: number;
}

/** PostgreSQL 17 or newer, as the embedded one is. */
export async function serverFigures(db: Database, pid: number): Promise<ServerFigures> {
  const counted = await db.one<{ wal: number; images: number; checkpoints: number }>(
    `select (pg_current_wal_lsn() - '0/0'::pg_lsn)::int8 as wal,
       (select wal_fpi::int8 from pg_stat_wal) as images,
       (select num_timed + num_requested from pg_stat_checkpointer)::int8 as checkpoints`,
  );
  return {
    walBytes: counted.wal,
    pageImages: counted.images,
    checkpoints: counted.checkpoints,
    cpuSeconds: await treeCpuSeconds(pid),
  };
}

export function since(before: ServerFigures, after: ServerFigures): ServerFigures {
  return {
    walBytes: after.walBytes - before.walBytes,
    pageImages: after.pageImages - before.pageImages,
    checkpoints: after.checkpoints - before.checkpoints,
    cpuSeconds: after.cpuSeconds - before.cpuSeconds,
  };
}
