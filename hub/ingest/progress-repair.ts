import type { KnownProgress } from '../store/seat-progress.ts';
import { isAnew, type LogEnds, type LogTopic } from './seat.ts';

export type Finding =
  | 'good'
  | 'not read yet'
  | 'retention passed it'
  | 'past the end'
  | 'another topic'
  | 'another cluster'
  | 'no such partition';

/** What one partition's progress is against the log, and what a repair does about it. */
export interface RepairLine {
  /** Of the progress; the log's own where there is none. */
  readonly clusterId: string;
  readonly partition: number;
  readonly found: Finding;
  /** Null where nothing was read. */
  readonly nextOffset: number | null;
  /** Null where the log has no such partition. */
  readonly ends: Pick<LogEnds, 'low' | 'high'> | null;
  /** `read`: from offset `to` on. */
  readonly todo: { readonly what: 'nothing' | 'forget' } | { readonly what: 'read'; readonly to: number };
}

const nothing = { what: 'nothing' } as const;
const forget = { what: 'forget' } as const;

/**
 * What would make kafka_progress fit the log that is there. Reading again is always safe, since streams recognise what
 * they have; so whatever may not be of this log is read from the log's beginning. Each cluster's own progress is kept
 * where this one has been read before: whoever goes back there goes on from it.
 */
export function planRepair(
  log: LogTopic,
  ends: readonly LogEnds[],
  progress: readonly KnownProgress[],
): RepairLine[] {
  const ours = progress.filter(({ clusterId }) => clusterId === log.clusterId);
  const others = progress.filter(({ clusterId }) => clusterId !== log.clusterId);
  const byPartition = new Map(ours.map((one) => [one.partition, one]));
  const isMoved = !ends.some(({ partition }) => byPartition.has(partition)) && others.length > 0;
  // Brokers answer in any order.
  const inOrder = ends.toSorted((a, b) => a.partition - b.partition);
  const lines = inOrder.map((end): RepairLine => {
    const { partition, low, high } = end;
    const own = byPartition.get(partition);
    const line = {
      clusterId: log.clusterId,
      partition,
      nextOffset: own?.nextOffset ?? null,
      ends: { low, high },
    };
    const again = { what: 'read', to: low } as const;
    if (!own) {
      return isMoved
        ? { ...line, found: 'another cluster', todo: again }
        : { ...line, found: 'not read yet', todo: nothing };
    }
    if (isAnew(log, own)) return { ...line, found: 'another topic', todo: again };
    if (own.nextOffset > high) return { ...line, found: 'past the end', todo: again };
    // The reader does that by itself, and says how much it was.
    if (own.nextOffset < low) return { ...line, found: 'retention passed it', todo: nothing };
    return { ...line, found: 'good', todo: nothing };
  });
  const there = new Set(ends.map(({ partition }) => partition));
  const gone = ours
    .filter(({ partition }) => !there.has(partition))
    .map(({ clusterId, partition, nextOffset }): RepairLine => {
      return { clusterId, partition, found: 'no such partition', nextOffset, ends: null, todo: forget };
    });
  const left = (isMoved ? others : []).map(({ clusterId, partition, nextOffset }): RepairLine => {
    return { clusterId, partition, found: 'another cluster', nextOffset, ends: null, todo: forget };
  });
  return [...namedOrAll(log, lines, ours), ...gone, ...left];
}

/**
 * Without the topic's id nobody can tell one that lost its end from one made anew, whose other partitions may have
 * grown past our place already: then all are read again.
 */
function namedOrAll(
  { topicId }: LogTopic,
  lines: readonly RepairLine[],
  ours: readonly KnownProgress[],
): RepairLine[] {
  const isNamed = topicId !== null && ours.every((one) => one.topicId === topicId);
  if (isNamed || !lines.some(({ found }) => found === 'past the end')) return [...lines];
  return lines.map((line) =>
    line.found === 'good' && line.ends && line.nextOffset !== line.ends.low
      ? { ...line, found: 'another topic', todo: { what: 'read', to: line.ends.low } }
      : line,
  );
}

export function isBroken({ todo }: RepairLine): boolean {
  return todo.what !== 'nothing';
}
