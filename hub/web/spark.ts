import { outcomeNumber } from '../store/insert-results.ts';

/** How many slots a line shows. */
export const sparkSlots = 40;

/** The last slots of one endpoint from all regions together. */
export interface Spark {
  /** `region id -> what it saw` for each slot there is anything of. */
  readonly slots: Map<number, Map<number, Seen>>;
  /** Slots went by between two reads: what is held has holes that the table has not. */
  stale: boolean;
}

interface Seen {
  readonly totalUs: number;
  readonly outcome: number;
}

export function emptySpark(): Spark {
  return { slots: new Map(), stale: false };
}

/** The newest result of a pair and slot counts; slots that went by long ago are forgotten. */
export function addToSpark(spark: Spark, slot: number, regionId: number, seen: Seen): void {
  const bySlot = spark.slots.get(slot) ?? new Map<number, Seen>();
  bySlot.set(regionId, seen);
  spark.slots.set(slot, bySlot);
  if (spark.slots.size <= 2 * sparkSlots) return;
  for (const old of [...spark.slots.keys()].sort((a, b) => a - b).slice(0, sparkSlots))
    spark.slots.delete(old);
}

/** Paths over 40 x 24 units: a line of good totals over the axis, what failed as bars under it, dots where nothing was seen. */
export interface SparkPaths {
  readonly line: string;
  readonly bad: string;
  readonly gap: string;
  /** For who does not see it. */
  readonly label: string;
}

const axisY = 19.5;

/** The line is the median of the regions that saw it up or degraded; a bar is as deep as the share that saw it down. */
export function sparkPaths(
  spark: Spark,
  runningSlot: number,
  sees: (regionId: number) => boolean,
): SparkPaths {
  const size = (slot: number) => spark.slots.get(slot)?.size ?? 0;
  // Regions come one after the other: half a slot would draw the slow ones, or the fast ones, alone.
  const whole = size(runningSlot) > 0 && size(runningSlot) >= size(runningSlot - 1);
  const lastSlot = whole ? runningSlot : runningSlot - 1;
  const points = Array.from({ length: sparkSlots }, (_, index) =>
    pointOf(spark.slots.get(lastSlot - sparkSlots + 1 + index), sees),
  );
  const totals = points.flatMap(({ us }) => us ?? []);
  const top = Math.max(...totals) * 1.1;
  const low = Math.min(...totals) * 0.75;
  const y = (us: number) => Math.round((17 - ((us - low) / (top - low || 1)) * 14) * 10) / 10;
  const first = points.findIndex(({ seen }) => seen > 0);
  let line = '';
  let bad = '';
  let gap = '';
  let pen = false;
  for (const [x, { us, down, seen }] of points.entries()) {
    if (us !== null)
      line += `${pen ? 'L' : 'M'}${x} ${y(us)}${pen || points[x + 1]?.us != null ? '' : 'h.6'}`;
    pen = us !== null;
    if (down > 0) bad += `M${x} 20h1v${Math.round((1.5 + 2.5 * (down / seen)) * 10) / 10}h-1z`;
    // Before the first there was nothing to see; the newest slot may still come.
    if (seen === 0 && first >= 0 && x > first && x < sparkSlots - 1) gap += `M${x}.1 ${axisY}h.6`;
  }
  return { line, bad, gap, label: labelOf(points, totals) };
}

interface Point {
  readonly us: number | null;
  readonly down: number;
  readonly seen: number;
}

function pointOf(slot: Map<number, Seen> | undefined, sees: (regionId: number) => boolean): Point {
  const totals: number[] = [];
  let down = 0;
  for (const [regionId, { totalUs, outcome }] of slot ?? []) {
    if (!sees(regionId)) continue;
    if (outcome === outcomeNumber.down) down += 1;
    else if (outcome !== outcomeNumber.skipped) totals.push(totalUs);
  }
  totals.sort((a, b) => a - b);
  return { us: totals[Math.floor(totals.length / 2)] ?? null, down, seen: totals.length + down };
}

function labelOf(points: readonly Point[], totals: readonly number[]): string {
  const failed = points.filter(({ down }) => down > 0).length;
  if (totals.length === 0)
    return failed > 0 ? `failed in ${failed} of the last ${sparkSlots} slots` : 'nothing yet';
  const ms = (us: number) => Math.round(us / 100) / 10;
  const range = `${ms(Math.min(...totals))} to ${ms(Math.max(...totals))} ms over the last ${sparkSlots} slots`;
  return failed > 0 ? `${range}, failures in ${failed}` : range;
}
