import type { ProgressStep } from '../store/advance-progress.ts';
import type { LogPartition, Progress } from '../store/lock-progress.ts';
import type { LogPosition } from './bus.ts';
import { ProgressConflict } from './trouble.ts';
import type { VerifiedBatch } from './verify.ts';

export interface Misplaced {
  readonly batch: VerifiedBatch;
  readonly conflict: ProgressConflict;
}

export interface Placed {
  /** Whose turn it is, and all from the direct bus. */
  readonly due: readonly VerifiedBatch[];
  /** Not the next of its partition: somebody went on, or the log has a hole. */
  readonly misplaced: readonly Misplaced[];
  readonly steps: readonly ProgressStep[];
}

/** The partitions these batches come from, each once, in lock order. */
export function partitionsOf(batches: readonly VerifiedBatch[]): LogPartition[] {
  const found = new Map<string, LogPartition>();
  for (const { incoming } of batches) {
    if (incoming.position) found.set(keyOf(incoming.position), incoming.position);
  }
  return [...found].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, partition]) => partition);
}

/**
 * Which batches are next in their partition. One below the progress was consumed before, by us (a commit whose answer
 * was lost) or by whoever had the partition: it is neither due nor wrong. That is what makes a rebalance harmless.
 */
export function placeInLog(batches: readonly VerifiedBatch[], progress: readonly Progress[]): Placed {
  const start = new Map(progress.map((one) => [keyOf(one), one.nextOffset]));
  const steps = new Map<string, ProgressStep>();
  const stopped = new Map<string, number | null>();
  const due: VerifiedBatch[] = [];
  const misplaced: Misplaced[] = [];
  for (const batch of batches) {
    const position = batch.incoming.position;
    if (!position) {
      due.push(batch);
      continue;
    }
    const key = keyOf(position);
    const expected = start.get(key);
    const { clusterId, topic, partition, offset } = position;
    if (expected !== undefined && offset < expected) continue;
    const step = steps.get(key);
    // Holes inside what one fetch brought are the log's own (control records); only where it begins must be right.
    if (!stopped.has(key) && (step ? offset >= step.next : offset === expected)) {
      due.push(batch);
      steps.set(key, { clusterId, topic, partition, expected: expected ?? 0, next: offset + 1 });
      continue;
    }
    stopped.set(key, expected ?? null);
    const conflict = new ProgressConflict(topic, partition, offset, expected ?? null);
    misplaced.push({ batch, conflict });
  }
  return { due, misplaced, steps: [...steps.values()] };
}

function keyOf(at: LogPartition | LogPosition): string {
  return `${at.clusterId}|${at.topic}|${String(at.partition).padStart(6, '0')}`;
}
