import { shardCount } from '../../shared/slot.ts';
import { createLoads, type Loads } from './shard-loads.ts';
import { readSeats, type Seats, type ShardOwner } from './shard-seats.ts';

export interface ShardProbe {
  readonly id: number;
  /** Checks a second it can run: its weight. */
  readonly capacity: number;
  /** When it last asked for a lease, epoch microseconds. */
  readonly seenUs: number;
}

/** One region as it is. */
export interface ShardScene {
  /** Every row, also what has ended. */
  readonly owners: readonly ShardOwner[];
  /** The region's active probes; a revoked one is not among them. */
  readonly probes: readonly ShardProbe[];
  /** Most replicas of any of its endpoints, at least 1. */
  readonly ranks: number;
  readonly nowUs: number;
  /** The hub was away or deaf: it cannot tell who is gone, and moves nothing. */
  readonly held: boolean;
}

/** What to write; each row as it shall be. */
export interface ShardPlan {
  /** Rows to delete. */
  readonly cancel: readonly ShardOwner[];
  /** Rows that get another end. */
  readonly change: readonly ShardOwner[];
  readonly begin: readonly ShardOwner[];
}

/** Both probes of a move know of it before it is in force: a lease answers at once, a broken connection is back in 5 s. */
export const announceUs = 5_000_000;
/** A lease request takes 8 s at most: unseen for so long, two of them did not come. */
export const unseenUs = 20_000_000;
/** Who takes part in a move must be there when it comes into force; if it dies now, its time is up just then. */
const steadyUs = unseenUs - announceUs;

/**
 * Which shards change hands. Seats nobody has, or whose probe is gone, are given away at once (at `nowUs`: a slot
 * before it may have been run); balance is kept by moves announced `announceUs` ahead, the same instant for who loses
 * and who gets, at most one a shard at a time. Pure and deterministic; nobody moves but for a reason: an arrival takes
 * its share, 1/n, from those who have most.
 */
export function planShards(scene: ShardScene): ShardPlan {
  const { owners, probes, nowUs, held } = scene;
  const seats = readSeats(owners, nowUs);
  const seenWithin = (us: number) => probes.filter((probe) => nowUs - probe.seenUs < us);
  const draft = createDraft(seats, scene, createLoads(seats, seenWithin(unseenUs)));
  const there = new Set((held ? probes : seenWithin(unseenUs)).map((probe) => probe.id));
  for (let shard = 0; shard < shardCount; shard += 1) {
    if (!seats.moving(shard)) draft.fill(shard, there);
  }
  if (!held) {
    const steady = new Set(seenWithin(steadyUs).map((probe) => probe.id));
    for (let rank = 0; rank < scene.ranks; rank += 1) {
      draft.raise(rank, steady);
      draft.lower(rank, steady);
    }
  }
  return draft.plan;
}

export function isEmptyPlan({ cancel, change, begin }: ShardPlan): boolean {
  return cancel.length + change.length + begin.length === 0;
}

function createDraft(seats: Seats, { ranks, nowUs }: ShardScene, loads: Loads) {
  const cancel = [...seats.cancel];
  const change = [...seats.reopen];
  const begin: ShardOwner[] = [];
  /** Shards this plan has touched: their seats are not as `seats` says any more. */
  const touched = new Set<number>();

  function end(row: ShardOwner, untilUs: number): void {
    const known = change.findIndex((one) => sameRow(one, row));
    if (known >= 0) change.splice(known, 1);
    // What would begin this very instant has never been in force.
    if (row.fromUs >= untilUs) cancel.push(row);
    else change.push({ ...row, untilUs });
    loads.add(row.probeId, row.rank, -1);
    touched.add(row.shard);
  }

  function start(shard: number, rank: number, probeId: number, fromUs: number): void {
    begin.push({ shard, rank, probeId, fromUs, untilUs: null });
    loads.add(probeId, rank, 1);
    touched.add(shard);
  }

  /** Every rank of the shard gets somebody, the lowest first, as far as there are probes. */
  function fill(shard: number, there: ReadonlySet<number>): void {
    const kept: ShardOwner[] = [];
    for (const row of seats.holders(shard)) {
      if (row.rank >= ranks) end(row, nowUs);
      else if (there.has(row.probeId)) kept.push(row);
    }
    for (let rank = 0; rank < ranks; rank += 1) {
      if (kept.some((row) => row.rank === rank)) continue;
      const taken = new Set(
        [...kept, ...begin.filter((row) => row.shard === shard)].map((row) => row.probeId),
      );
      let next = loads.best(shard, rank, taken);
      if (next === null) {
        // Fewer probes than ranks: who has a higher one does more good here.
        const higher = kept.findLast((row) => row.rank > rank);
        if (!higher) return;
        end(higher, nowUs);
        kept.pop();
        next = higher.probeId;
      }
      const gone = seats.holder(shard, rank);
      if (gone) end(gone, nowUs);
      start(shard, rank, next, nowUs);
    }
  }

  function movable(rank: number, steady: ReadonlySet<number>): ShardOwner[] {
    const rows: ShardOwner[] = [];
    for (let shard = 0; shard < shardCount; shard += 1) {
      const row = seats.holder(shard, rank);
      if (row && !seats.moving(shard) && !touched.has(shard) && steady.has(row.probeId)) rows.push(row);
    }
    return rows;
  }

  const holdersOf = (shard: number) => new Set(seats.holders(shard).map((row) => row.probeId));

  function move(row: ShardOwner, to: number): void {
    end(row, nowUs + announceUs);
    start(row.shard, row.rank, to, nowUs + announceUs);
  }

  /** Whoever has far less than its share takes what it is drawn to most, from those who have more than theirs. */
  function raise(rank: number, steady: ReadonlySet<number>): void {
    for (const probeId of loads.wanting(rank)) {
      if (!steady.has(probeId)) continue;
      const drawn = movable(rank, steady)
        .filter((row) => !holdersOf(row.shard).has(probeId))
        .sort((a, b) => loads.score(probeId, b.shard) - loads.score(probeId, a.shard) || a.shard - b.shard);
      for (const row of drawn) {
        if (loads.filled(probeId, rank)) break;
        if (loads.maySpare(row.probeId, rank)) move(row, probeId);
      }
    }
  }

  /** Whoever has far more than its share gives what it is drawn to least. */
  function lower(rank: number, steady: ReadonlySet<number>): void {
    for (const probeId of loads.overfull(rank)) {
      if (!steady.has(probeId)) continue;
      const repelled = movable(rank, steady)
        .filter((row) => row.probeId === probeId)
        .sort((a, b) => loads.score(probeId, a.shard) - loads.score(probeId, b.shard) || a.shard - b.shard);
      for (const row of repelled) {
        if (!loads.mustGive(probeId, rank)) break;
        const next = loads.lighter(row.shard, rank, probeId, holdersOf(row.shard), steady);
        if (next !== null) move(row, next);
      }
    }
  }

  return { fill, raise, lower, plan: { cancel, change, begin } satisfies ShardPlan };
}

function sameRow(a: ShardOwner, b: ShardOwner): boolean {
  return a.shard === b.shard && a.rank === b.rank && a.fromUs === b.fromUs;
}
