import { shardCount } from '../../shared/slot.ts';

/** Who checks a shard with which rank, in slots from `fromUs` to before `untilUs` (null: for as long as it is). Epoch microseconds. */
export interface ShardOwner {
  readonly shard: number;
  readonly rank: number;
  readonly probeId: number;
  readonly fromUs: number;
  readonly untilUs: number | null;
}

/** No announced move is farther ahead; what is came from a clock that has since been set back. */
const farthestUs = 10_000_000;

/** One region's owners as a plan looks at them: a seat is one rank of one shard. */
export interface Seats {
  /** Who has it for as long as it is, moves that are announced included. */
  holder(shard: number, rank: number): ShardOwner | null;
  /** All of the shard's, by rank. */
  holders(shard: number): readonly ShardOwner[];
  /** Something was announced for this shard that is not in force yet: nothing else of it is touched before. */
  moving(shard: number): boolean;
  /** Rows from a clock that was ahead: to be deleted, and reopened. */
  readonly cancel: readonly ShardOwner[];
  readonly reopen: readonly ShardOwner[];
}

export function readSeats(owners: readonly ShardOwner[], nowUs: number): Seats {
  const shards: ShardOwner[][] = Array.from({ length: shardCount }, () => []);
  const moving = new Set<number>();
  const cancel: ShardOwner[] = [];
  const reopen: ShardOwner[] = [];
  for (const row of owners) {
    const { shard, fromUs, untilUs } = row;
    if (fromUs > nowUs + farthestUs) {
      cancel.push(row);
      continue;
    }
    const endless = untilUs === null || untilUs > nowUs + farthestUs;
    if (endless && untilUs !== null) reopen.push({ ...row, untilUs: null });
    if (endless) shards[shard]?.push({ ...row, untilUs: null });
    if (fromUs > nowUs || (!endless && untilUs > nowUs)) moving.add(shard);
  }
  for (const holders of shards) holders.sort((a, b) => a.rank - b.rank);
  return {
    holder: (shard, rank) => shards[shard]?.find((row) => row.rank === rank) ?? null,
    holders: (shard) => shards[shard] ?? [],
    moving: (shard) => moving.has(shard),
    cancel,
    reopen,
  };
}
