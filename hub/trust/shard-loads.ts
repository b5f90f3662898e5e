import { shardCount } from '../../shared/slot.ts';
import { rendezvousScore } from './rendezvous.ts';
import type { Seats } from './shard-seats.ts';

/** How far a probe's shards may be from its share, which is its part of the region's capacity: beyond it, some move. */
const slack = 0.25;

export interface Weighted {
  readonly id: number;
  readonly capacity: number;
}

/** Who has how many shards of each rank, and who shall: each rank is balanced by itself. Probes that are there, by id. */
export interface Loads {
  add(probeId: number, rank: number, shards: number): void;
  score(probeId: number, shard: number): number;
  /** Whom the shard draws most of those with room; where none has room, who has least. Null where all are taken. */
  best(shard: number, rank: number, taken: ReadonlySet<number>): number | null;
  /** Far below their share, the emptiest first. */
  wanting(rank: number): readonly number[];
  filled(probeId: number, rank: number): boolean;
  /** It can give to one that has far less, and still has its share. */
  maySpare(probeId: number, rank: number): boolean;
  /** It has more than its share. */
  mustGive(probeId: number, rank: number): boolean;
  /** Far above their share, the fullest first. */
  overfull(rank: number): readonly number[];
  /** Who shall have one of `from`'s shards: with room, or so much emptier that it is worth a move. */
  lighter(
    shard: number,
    rank: number,
    from: number,
    taken: ReadonlySet<number>,
    among: ReadonlySet<number>,
  ): number | null;
}

export function createLoads(seats: Seats, probes: readonly Weighted[]): Loads {
  const total = probes.reduce((sum, probe) => sum + weightOf(probe), 0);
  const shares = new Map(probes.map((probe) => [probe.id, (shardCount * weightOf(probe)) / total]));
  const weights = new Map(probes.map((probe) => [probe.id, weightOf(probe)]));
  const ids = [...shares.keys()].sort((a, b) => a - b);
  const counts = new Map<number, Map<number, number>>();

  const add: Loads['add'] = (probeId, rank, shards) => {
    const ofRank = counts.get(rank) ?? new Map<number, number>();
    counts.set(rank, ofRank.set(probeId, (ofRank.get(probeId) ?? 0) + shards));
  };
  for (let shard = 0; shard < shardCount; shard += 1) {
    for (const { rank, probeId } of seats.holders(shard)) add(probeId, rank, 1);
  }

  const count = (probeId: number, rank: number) => counts.get(rank)?.get(probeId) ?? 0;
  const share = (probeId: number) => shares.get(probeId) ?? 0;
  const fullness = (probeId: number, rank: number) => count(probeId, rank) / share(probeId);
  const score = (probeId: number, shard: number) =>
    rendezvousScore(probeId, shard, weights.get(probeId) ?? 1);
  const emptiest = (rank: number) => (a: number, b: number) => fullness(a, rank) - fullness(b, rank) || a - b;

  function mostDrawn(shard: number, among: readonly number[]): number | null {
    let best: number | null = null;
    let highest = Number.NEGATIVE_INFINITY;
    for (const id of among) {
      const its = score(id, shard);
      if (its > highest) [best, highest] = [id, its];
    }
    return best;
  }

  return {
    add,
    score,
    best(shard, rank, taken) {
      const free = ids.filter((id) => !taken.has(id));
      const roomy = free.filter((id) => count(id, rank) < Math.ceil(share(id) * (1 + slack)));
      return mostDrawn(shard, roomy) ?? free.sort(emptiest(rank))[0] ?? null;
    },
    wanting: (rank) =>
      ids.filter((id) => count(id, rank) < Math.floor(share(id) * (1 - slack))).sort(emptiest(rank)),
    filled: (probeId, rank) => count(probeId, rank) >= Math.floor(share(probeId)),
    maySpare: (probeId, rank) => count(probeId, rank) > Math.floor(share(probeId)),
    mustGive: (probeId, rank) => count(probeId, rank) > Math.ceil(share(probeId)),
    overfull: (rank) =>
      ids
        .filter((id) => count(id, rank) > Math.ceil(share(id) * (1 + slack)))
        .sort((a, b) => emptiest(rank)(b, a)),
    lighter(shard, rank, from, taken, among) {
      const free = ids.filter((id) => !taken.has(id) && among.has(id));
      const roomy = free.filter((id) => count(id, rank) < Math.floor(share(id)));
      if (roomy.length > 0) return mostDrawn(shard, roomy);
      const worth = fullness(from, rank) / (1 + slack);
      return free.filter((id) => (count(id, rank) + 1) / share(id) < worth).sort(emptiest(rank))[0] ?? null;
    },
  };
}

/** A probe that says it can do nothing still does when there is nobody else. */
function weightOf({ capacity }: Weighted): number {
  return Math.max(1, capacity);
}
