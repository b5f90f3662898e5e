import { advanceProgress } from '../store/advance-progress.ts';
import { tellChange } from '../store/changes.ts';
import type { Database } from '../store/database.ts';
import { insertGaps } from '../store/insert-gaps.ts';
import { insertRejects } from '../store/insert-rejects.ts';
import { lockProgress } from '../store/lock-progress.ts';
import { lockStreams } from '../store/lock-streams.ts';
import { updateStreams } from '../store/update-streams.ts';
import { certificatesOf } from './certificates.ts';
import { type Misplaced, partitionsOf, placeInLog } from './log-order.ts';
import type { Reject } from './reject.ts';
import type { RejectRoom } from './reject-room.ts';
import { repeatersOf } from './repeaters.ts';
import type { SeqMemory } from './seq-memory.ts';
import { storeResults } from './store-results.ts';
import { streamsOf, takeInStreams } from './take-in-streams.ts';
import type { StreamClaim, VerifiedBatch } from './verify.ts';

export interface Stored {
  readonly batches: number;
  readonly rows: number;
  readonly rejects: readonly Reject[];
  readonly repeated: number;
  readonly deferred: number;
  readonly fresh: readonly VerifiedBatch[];
  /** Of batches of which nothing came, as their number was there or they were deferred. */
  readonly idle: readonly StreamClaim[];
  /** Not stored: their partition's progress stands elsewhere. */
  readonly misplaced: readonly Misplaced[];
}

export interface StoreOptions {
  readonly room?: RejectRoom;
  readonly memory?: Pick<SeqMemory, 'differs'>;
}

/**
 * All that verified batches do to the database, in one transaction: it is committed whole, with the progress that says
 * so, or not at all. Consumers lock in one order, so that none waits in a circle: progress, streams, latest, counts.
 */
export async function storeBatches(
  db: Database,
  batches: readonly VerifiedBatch[],
  { room, memory }: StoreOptions = {},
): Promise<Stored> {
  const certificates = certificatesOf(db);
  const certificateIds = await certificates.idsOf(db, batches);
  const stored = db.transaction(async (sql) => {
    const partitions = partitionsOf(batches);
    const progress = partitions.length > 0 ? await lockProgress(sql, partitions) : [];
    const { due, misplaced, steps } = placeInLog(batches, progress);
    const taken = takeInStreams(due, await lockStreams(sql, streamsOf(due)), memory?.differs);
    const { rows, duplicates } = await storeResults(sql, taken.fresh, repeatersOf(db), certificateIds);
    await insertGaps(
      sql,
      taken.fresh.map((batch) => batch.claim).filter((claim) => claim !== null),
    );
    await updateStreams(sql, taken.streams);
    const rejects = [...taken.rejects, ...duplicates];
    await insertRejects(sql, rejects, room);
    await advanceProgress(sql, steps);
    if (rows > 0) await tellChange(sql, 'results');
    const { repeated, deferred, idle } = taken;
    return {
      batches: taken.fresh.length,
      rows,
      rejects,
      repeated,
      deferred,
      idle,
      fresh: taken.fresh,
      misplaced,
    };
  });
  return stored.catch((error: unknown) => {
    certificates.forget();
    throw error;
  });
}
