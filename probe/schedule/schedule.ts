import type { Assignment, ManifestShard } from '../../shared/assignment.ts';
import { extraSlot, extraSpreadUs, nextSlot, phaseOf } from '../../shared/slot.ts';
import { createHeap, type Waiting } from './heap.ts';
import { covers, firstSlotAfter, lastSlotUntil, type Window, windowsOf } from './window.ts';

/** A shard as it is in force: its endpoints, and the manifest's entries of it. */
export interface ShardInForce {
  readonly shard: number;
  readonly digest: string;
  readonly endpoints: readonly Assignment[];
  readonly entries: readonly ManifestShard[];
}

/** A slot whose time has come. Instants are epoch microseconds on hub time. */
export interface DueSlot {
  readonly assignment: Assignment;
  readonly kind: 'slot' | 'extra';
  readonly scheduledAtUs: number;
  /** The endpoint's next slot: retries end before it. */
  readonly nextUs: number;
  /** The probe overslept it (suspended, stopped, or its clock was set forward): it is reported, not run. */
  readonly missed: boolean;
}

/**
 * When what is due. Pure: time comes in as an argument. No slot at or before the last one taken is ever given again,
 * whatever the clock, the interval or the shards do; what was overslept is given once, as missed, never as a burst.
 */
export interface Schedule {
  readonly size: number;
  /** Puts these shards in force in place of those before; what did not change keeps its place. */
  put(shards: readonly ShardInForce[], nowUs: number): void;
  /**
   * The same in steps: first what goes, then shard by shard. 100,000 new endpoints take more than a second (a hash
   * each): whoever runs checks meanwhile takes a breath between the steps.
   */
  putStepwise(shards: readonly ShardInForce[], nowUs: () => number): Iterable<void>;
  /** At most `most` slots that are due. */
  take(nowUs: number, most: number): readonly DueSlot[];
  /** When `take` will have something; null for never. */
  nextDueUs(): number | null;
  /** The assignment in force for an endpoint of this probe. */
  assignment(endpointId: number): Assignment | undefined;
}

export interface ScheduleOptions {
  readonly regionId: number;
  /**
   * No slot at or before this is ever given: what an earlier process may have run. Null: it is not known how far that
   * came, so everything before the first shards are put in force.
   */
  readonly floorUs: number | null;
}

/** Later than this (or half an interval) it is not run any more: what comes after a pause must not come at once. */
const mostLateUs = 1_000_000;
/** A shard that is taken over from a dead probe brings slots that nobody ran: the newest of each endpoint is made up for. */
const catchUpUs = 60_000_000;
/** A floor further ahead was set by a clock that was wrong since, and would blind the region until then. */
const farAheadUs = 30_000_000;
/** Made up for in a twelfth of the time, so that 20 s of slots are spread over 1.7 s. */
const catchUpSpeed = 12;
/** An edit is heard of a second or two late, after a fault of the way later; after this its extra slot tells nothing new. */
const extraUs = 30_000_000;

interface Node extends Waiting {
  readonly entry: Entry;
  readonly kind: 'slot' | 'extra';
  scheduledAtUs: number;
}

interface Entry {
  assignment: Assignment;
  intervalUs: number;
  phaseUs: number;
  windows: readonly Window[];
  /** Slots up to and including this are done with. */
  doneUs: number;
  readonly slot: Node;
  readonly extra: Node;
}

interface Held {
  readonly inForce: ShardInForce;
  readonly entries: Map<number, Entry>;
}

export function createSchedule({ regionId, floorUs }: ScheduleOptions): Schedule {
  const heap = createHeap<Node>();
  let lowestUs = floorUs;
  const shards = new Map<number, Held>();
  const byId = new Map<number, Entry>();
  /** Up to when the slots of a shard that went away are done with: it may come back (256 at most). */
  const doneOfShard = new Map<number, number>();

  function floorAt(nowUs: number): number {
    return lowestUs === null || lowestUs > nowUs + farAheadUs ? nowUs : lowestUs;
  }

  function makeEntry(
    assignment: Assignment,
    windows: readonly Window[],
    shard: number,
    nowUs: number,
  ): Entry {
    const entry = { assignment, windows, ...gridOf(assignment, regionId) } as Entry;
    const node = (kind: Node['kind']): Node => ({ entry, kind, scheduledAtUs: 0, dueUs: 0, index: -1 });
    return Object.assign(entry, {
      doneUs: Math.max(doneOfShard.get(shard) ?? floorAt(nowUs), nowUs - catchUpUs, assignment.changedAt),
      slot: node('slot'),
      extra: node('extra'),
    });
  }

  function planSlot(entry: Entry, nowUs: number): void {
    const { doneUs, windows, slot } = entry;
    // What waits for `take` already is its to judge: it knows what was overslept.
    if (slot.index >= 0 && slot.dueUs <= nowUs && covers(windows, slot.scheduledAtUs)) return;
    const afterUs = Math.max(doneUs, nowUs - catchUpUs);
    const overdueUs = lastSlotUntil(afterUs, nowUs, windows, entry);
    const madeUpUs = overdueUs === null ? null : nowUs + (nowUs - overdueUs) / catchUpSpeed;
    // One that would still run when the next is due would cost that one, too: it would be overrun.
    const nextUs = firstSlotAfter(overdueUs === null ? afterUs : nowUs, windows, entry);
    const fits =
      madeUpUs !== null && (nextUs === null || nextUs - madeUpUs >= entry.assignment.timeoutMs * 1000);
    const scheduledAtUs = fits ? overdueUs : nextUs;
    if (scheduledAtUs !== null && slot.index >= 0 && slot.scheduledAtUs === scheduledAtUs) return;
    const dueUs = fits ? madeUpUs : scheduledAtUs;
    wait(slot, scheduledAtUs, dueUs);
  }

  function wait(node: Node, scheduledAtUs: number | null, dueUs = scheduledAtUs): void {
    if (scheduledAtUs === null || dueUs === null) {
      heap.remove(node);
      return;
    }
    node.scheduledAtUs = scheduledAtUs;
    node.dueUs = dueUs;
    heap.put(node);
  }

  function planExtra({ assignment, windows, extra }: Entry, nowUs: number): void {
    // One that waits is as good, and comes sooner: an endpoint that is edited each second is checked all the same.
    if (extra.index >= 0 && covers(windows, extra.scheduledAtUs)) return;
    if (nowUs - assignment.changedAt > extraSpreadUs + extraUs) {
      heap.remove(extra);
      return;
    }
    const atUs = extraSlot(assignment.id, regionId, assignment.rev, assignment.changedAt);
    const told = atUs > floorAt(nowUs) && nowUs - atUs <= extraUs && covers(windows, atUs);
    wait(extra, told ? atUs : null, Math.max(atUs, nowUs));
  }

  function forget(entry: Entry): void {
    heap.remove(entry.slot);
    heap.remove(entry.extra);
    byId.delete(entry.assignment.id);
  }

  function putShard(inForce: ShardInForce, before: Held | undefined, nowUs: number): void {
    if (before && sameShard(before.inForce, inForce)) return;
    const entries = new Map<number, Entry>();
    for (const assignment of inForce.endpoints) {
      const windows = windowsOf(inForce.entries, assignment.replicas);
      const known = before?.entries.get(assignment.id);
      const entry = known ?? makeEntry(assignment, windows, inForce.shard, nowUs);
      const isNew = entry.assignment.rev !== assignment.rev || !known;
      if (known) {
        known.assignment = assignment;
        known.windows = windows;
        if (isNew) {
          heap.remove(known.slot);
          Object.assign(known, gridOf(assignment, regionId));
          known.doneUs = Math.max(known.doneUs, assignment.changedAt);
        }
      }
      planSlot(entry, nowUs);
      // One that waits may have come to be another probe's: a move was announced.
      if (isNew || entry.extra.index >= 0) planExtra(entry, nowUs);
      entries.set(assignment.id, entry);
      byId.set(assignment.id, entry);
    }
    for (const [id, entry] of before?.entries ?? []) if (!entries.has(id)) forget(entry);
    shards.set(inForce.shard, { inForce, entries });
  }

  function* putStepwise(next: readonly ShardInForce[], nowUs: () => number): Iterable<void> {
    lowestUs ??= nowUs();
    const staying = new Set(next.map(({ shard }) => shard));
    for (const [shard, held] of shards) if (!staying.has(shard)) dropShard(shard, held, nowUs());
    for (const inForce of next) {
      putShard(inForce, shards.get(inForce.shard), nowUs());
      yield;
    }
  }

  function dropShard(shard: number, held: Held, nowUs: number): void {
    let doneUs = nowUs;
    for (const entry of held.entries.values()) {
      doneUs = Math.max(doneUs, entry.doneUs);
      forget(entry);
    }
    doneOfShard.set(shard, doneUs);
    shards.delete(shard);
  }

  /** The slot that is run or reported now; an overslept one gives way to a newer one that is still fresh. */
  function takeSlot(entry: Entry, nowUs: number, into: DueSlot[]): void {
    const { slot, windows, assignment } = entry;
    const freshUs = nowUs - Math.min(mostLateUs, entry.intervalUs / 2);
    const give = (scheduledAtUs: number, missed: boolean) => {
      const nextUs = scheduledAtUs + entry.intervalUs;
      into.push({ assignment, kind: 'slot', scheduledAtUs, nextUs, missed });
      entry.doneUs = scheduledAtUs;
    };
    if (slot.dueUs >= freshUs) {
      give(slot.scheduledAtUs, false);
    } else {
      const newestUs = lastSlotUntil(slot.scheduledAtUs - 1, nowUs, windows, entry) ?? slot.scheduledAtUs;
      const isFresh = newestUs > slot.scheduledAtUs && newestUs >= freshUs;
      const missedUs = isFresh
        ? (lastSlotUntil(slot.scheduledAtUs - 1, newestUs - 1, windows, entry) ?? slot.scheduledAtUs)
        : newestUs;
      give(missedUs, true);
      if (isFresh) give(newestUs, false);
    }
    wait(slot, firstSlotAfter(entry.doneUs, windows, entry));
  }

  function takeExtra(
    { extra, assignment, intervalUs, phaseUs }: Entry,
    nowUs: number,
    into: DueSlot[],
  ): void {
    heap.remove(extra);
    const { scheduledAtUs, dueUs } = extra;
    const missed = nowUs - dueUs > mostLateUs;
    const nextUs = nextSlot(nowUs, intervalUs, phaseUs);
    into.push({ assignment, kind: 'extra', scheduledAtUs, nextUs, missed });
  }

  return {
    get size() {
      return byId.size;
    },
    put(next, nowUs) {
      Array.from(putStepwise(next, () => nowUs));
    },
    putStepwise,
    take(nowUs, most) {
      const taken: DueSlot[] = [];
      for (let node = heap.peek(); node && node.dueUs <= nowUs && taken.length < most; node = heap.peek()) {
        (node.kind === 'slot' ? takeSlot : takeExtra)(node.entry, nowUs, taken);
      }
      return taken;
    },
    nextDueUs: () => heap.peek()?.dueUs ?? null,
    assignment: (endpointId) => byId.get(endpointId)?.assignment,
  };
}

function gridOf(assignment: Assignment, regionId: number) {
  const intervalUs = assignment.intervalMs * 1000;
  return { intervalUs, phaseUs: phaseOf(assignment.id, regionId, intervalUs) };
}

function sameShard(a: ShardInForce, b: ShardInForce): boolean {
  return (
    a.digest === b.digest &&
    a.entries.length === b.entries.length &&
    a.entries.every(({ rank, from, until }, index) => {
      const other = b.entries[index];
      return other && rank === other.rank && from === other.from && until === other.until;
    })
  );
}
