/** A partition of `results` by the instants it holds, epoch microseconds, `toUs` excluded. */
export interface Partition {
  readonly name: string;
  readonly fromUs: number;
  readonly toUs: number;
}

export interface PartitionPolicy {
  /** A day, or an hour above 100,000 pairs: a pair's tail is a leaf page of its own (1,704 bytes of WAL a row in day partitions at 1 M pairs, 508 in hour partitions; measured). */
  readonly width: 'day' | 'hour';
  readonly retentionDays: number;
}

/** How wide new partitions are with so many (endpoint, region) pairs. */
export function partitionWidth(pairs: number): PartitionPolicy['width'] {
  return pairs > 100_000 ? 'hour' : 'day';
}

export const dayUs = 86_400_000_000;
const hourUs = 3_600_000_000;
/** Made so far ahead that a hub may be away, or its keeper stuck, over a long weekend. */
const aheadUs = 3 * dayUs;
/** A result that was in time when it was verified still finds its partition when it is stored. */
const graceUs = hourUs;

/** Two clocks that may differ, epoch microseconds. */
export interface Clocks {
  readonly hubUs: number;
  readonly databaseUs: number;
}

export interface PartitionsPlan {
  readonly create: readonly Partition[];
  /** In the order in which the seal passes them. */
  readonly drop: readonly Partition[];
  /** Days to come that should be hours by now: to be split where nothing is in them yet. */
  readonly split: readonly Partition[];
}

/**
 * What is missing and what has outlived retention. Partitions of either width stand side by side, never over one
 * another, and none is made before `sealedUs`. One clock that is wrong costs nothing: there are partitions for what
 * either calls now, and only what both call outlived is dropped.
 */
export function planPartitions(
  existing: readonly Partition[],
  { hubUs, databaseUs }: Clocks,
  { width, retentionDays, sealedUs }: PartitionPolicy & { readonly sealedUs: number },
): PartitionsPlan {
  const retentionUs = retentionDays * dayUs;
  const outlivedUs = Math.min(hubUs, databaseUs) - retentionUs - graceUs;
  const outlived = (partition: Partition) => partition.toUs <= outlivedUs;
  const inOrder = [...existing].sort((a, b) => a.fromUs - b.fromUs);
  const drop = inOrder.filter(outlived);
  const kept = inOrder.filter((partition) => !outlived(partition));
  const create: Partition[] = [];
  const spanOf = (nowUs: number) => {
    // Wide ones for what lies behind today: late results are few.
    const today = floorTo(nowUs, dayUs);
    const ahead = floorTo(nowUs + aheadUs, dayUs) + dayUs;
    return [
      { from: floorTo(nowUs - retentionUs, dayUs), to: today, widthUs: dayUs },
      { from: today, to: ahead, widthUs: width === 'day' ? dayUs : hourUs },
    ];
  };
  const sealed = { name: 'sealed', fromUs: Number.NEGATIVE_INFINITY, toUs: sealedUs };
  for (const { from, to, widthUs } of [hubUs, databaseUs].flatMap(spanOf)) {
    for (let at = from; at < to; at += widthUs) {
      const free = uncovered(at, at + widthUs, [sealed, ...kept, ...create]);
      create.push(...free.filter((partition) => !outlived(partition)));
    }
  }
  const isAhead = ({ fromUs }: Partition) => fromUs > Math.max(hubUs, databaseUs);
  const split = width === 'day' ? [] : kept.filter((one) => isAhead(one) && one.toUs - one.fromUs === dayUs);
  return { create, drop, split };
}

/** A day in its hours. */
export function hoursOf({ fromUs, toUs }: Partition): Partition[] {
  const hours: Partition[] = [];
  for (let at = fromUs; at < toUs; at += hourUs) hours.push(partitionOf(at, at + hourUs));
  return hours;
}

/** The whole span where nothing stands in it, else the hours of it that are free. */
function uncovered(fromUs: number, toUs: number, kept: readonly Partition[]): Partition[] {
  const inside = kept.filter((partition) => partition.fromUs < toUs && partition.toUs > fromUs);
  if (inside.length === 0) return [partitionOf(fromUs, toUs)];
  const free: Partition[] = [];
  for (let at = fromUs; at < toUs; at += hourUs) {
    const taken = inside.some((partition) => partition.fromUs < at + hourUs && partition.toUs > at);
    if (!taken) free.push(partitionOf(at, at + hourUs));
  }
  return free;
}

function partitionOf(fromUs: number, toUs: number): Partition {
  const digits = new Date(fromUs / 1000).toISOString().replace(/\D/g, '');
  return { name: `results_${digits.slice(0, toUs - fromUs === dayUs ? 8 : 10)}`, fromUs, toUs };
}

function floorTo(us: number, widthUs: number): number {
  return Math.floor(us / widthUs) * widthUs;
}

/** By the name alone: `results_YYYYMMDD` or `results_YYYYMMDDHH`, UTC. Null for a table that is not ours. */
export function partitionFromName(name: string): Partition | null {
  const [, year, month, day, hour] = /^results_(\d{4})(\d{2})(\d{2})(\d{2})?$/.exec(name) ?? [];
  if (!year || !month || !day) return null;
  const fromUs = Date.UTC(Number(year), Number(month) - 1, Number(day), Number(hour ?? 0)) * 1000;
  return { name, fromUs, toUs: fromUs + (hour ? hourUs : dayUs) };
}
