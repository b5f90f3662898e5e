import type { ManifestShard } from '../../shared/assignment.ts';
import { nextSlot, slotAt } from '../../shared/slot.ts';

/** Slots from `fromUs` to before `untilUs` are this probe's own. Hub time, epoch microseconds. */
export interface Window {
  readonly fromUs: number;
  readonly untilUs: number;
}

/** An endpoint's slots. */
export interface Grid {
  readonly intervalUs: number;
  readonly phaseUs: number;
}

/** A manifest's entries of one shard as windows of its endpoints with this many replicas, in order. */
export function windowsOf(entries: readonly ManifestShard[], replicas: number): readonly Window[] {
  return entries
    .filter(({ rank }) => rank < replicas)
    .map(({ from, until }) => ({ fromUs: from, untilUs: until ?? Number.POSITIVE_INFINITY }))
    .toSorted((a, b) => a.fromUs - b.fromUs);
}

export function covers(windows: readonly Window[], atUs: number): boolean {
  return windows.some(({ fromUs, untilUs }) => fromUs <= atUs && atUs < untilUs);
}

/** The first slot after `afterUs` that is this probe's own, or null. */
export function firstSlotAfter(
  afterUs: number,
  windows: readonly Window[],
  { intervalUs, phaseUs }: Grid,
): number | null {
  let first: number | null = null;
  for (const { fromUs, untilUs } of windows) {
    const slot = nextSlot(Math.max(afterUs, fromUs - 1), intervalUs, phaseUs);
    if (slot < untilUs && (first === null || slot < first)) first = slot;
  }
  return first;
}

/** The last own slot after `afterUs` and at or before `atUs`, or null. */
export function lastSlotUntil(
  afterUs: number,
  atUs: number,
  windows: readonly Window[],
  { intervalUs, phaseUs }: Grid,
): number | null {
  let last: number | null = null;
  for (const { fromUs, untilUs } of windows) {
    const slot = slotAt(Math.min(atUs, untilUs - 1), intervalUs, phaseUs);
    if (slot >= fromUs && slot > afterUs && (last === null || slot > last)) last = slot;
  }
  return last;
}
