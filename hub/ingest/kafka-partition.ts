import type { EachBatchPayload, KafkaMessage } from 'kafkajs';
import { advanceProgress } from '../store/advance-progress.ts';
import type { BatchHandler } from './bus.ts';
import { heartbeating } from './heartbeating.ts';
import { batchFromMessage } from './kafka-message.ts';
import { readSeats, type SeatingOptions } from './kafka-seats.ts';
import type { Places } from './places.ts';
import type { LogTopic } from './seat.ts';
import { ProgressConflict } from './trouble.ts';

export interface PartitionReaderOptions extends SeatingOptions {
  readonly places: Places;
  /** The log that the places are in. */
  readonly reads: () => LogTopic;
  readonly stopped: () => boolean;
  /** Resolves when it is known where this member's partitions are to be read on. */
  readonly seated: () => Promise<void>;
  /** Has the next fetch begin where the partition's place is. */
  readonly seek: (partition: number) => void;
  readonly seatAgain: () => void;
  readonly onStored: () => void;
  /** Nothing can be stored now. */
  readonly onTrouble: (error: unknown) => void;
}

/**
 * Handed over at once: with so many partitions at a time this bounds what is in memory decoded. By bytes, as batches
 * of many small probes hold thirty results and those of few large ones five hundred: sixteen of the first did not fill
 * a transaction.
 */
const atOnce = { bytes: 256 * 1024, messages: 256 } as const;

/** Hands what was fetched of one partition to ingest, in order, and moves the partition's place. */
export function partitionReader(options: PartitionReaderOptions) {
  const { topic, db, log, places, reads, stopped, seated, seek, seatAgain, onStored, onTrouble } = options;
  /** Holes at the begin of a fetch that were asked about once. */
  const holes = new Set<string>();

  /** True where the log itself has nothing between: control records, or what was passed over when seats were taken. */
  async function passHole(partition: number, from: number, to: number, mine: number): Promise<boolean> {
    const { seats } = await readSeats(options);
    const lost = seats.find((one) => one.partition === partition)?.lost;
    const hole = `${mine}:${partition}:${from}:${to}`;
    if (lost || !holes.has(hole)) {
      // Perhaps only a fetch from before the seek: ask again from the right place, once.
      holes.add(hole);
      if (lost) seatAgain();
      else seek(partition);
      return false;
    }
    holes.clear();
    await advanceProgress(db, [{ clusterId: reads().clusterId, topic, partition, expected: from, next: to }]);
    places.set(mine, partition, to);
    return true;
  }

  async function eachBatch(handler: BatchHandler, payload: EachBatchPayload): Promise<void> {
    const { batch, heartbeat, resolveOffset, isRunning, isStale } = payload;
    const { partition } = batch;
    await heartbeating(heartbeat, seated);
    const mine = places.generation();
    const ours = () => isRunning() && !isStale() && mine === places.generation() && !stopped();
    const from = places.at(partition);
    const first = batch.messages[0];
    if (from === undefined || !first || !ours()) return;
    const high = Number(batch.highWatermark);
    places.sawEnd(partition, high);
    if (high < from) {
      seatAgain();
      return;
    }
    const begins = Number(first.offset);
    if (begins > from && !(await passHole(partition, from, begins, mine))) return;
    const due = batch.messages.filter((message) => Number(message.offset) >= from);
    if (due.length === 0) {
      seek(partition);
      return;
    }
    const { clusterId } = reads();
    for (const chunk of chunksOf(due)) {
      if (!ours()) return;
      const batches = chunk.map((message) => batchFromMessage(message, { clusterId, topic, partition }));
      await heartbeating(heartbeat, (signal) => handler(batches, signal));
      const last = chunk.at(-1)?.offset;
      if (!ours() || last === undefined) return;
      resolveOffset(last);
      places.set(mine, partition, Number(last) + 1);
      onStored();
    }
  }

  /** kafkajs takes any error for its own and begins anew: only what it can do something about goes through. */
  return async function read(handler: BatchHandler, payload: EachBatchPayload): Promise<void> {
    const mine = places.generation();
    try {
      await eachBatch(handler, payload);
    } catch (error) {
      if ((error as Error).name.startsWith('KafkaJS')) throw error;
      const { partition } = payload.batch;
      if (!(error instanceof ProgressConflict)) {
        onTrouble(error);
        return;
      }
      if (mine !== places.generation()) return;
      log.warn({ topic, partition, error: error.message }, 'another member came further: reading from there');
      if (error.nextOffset === null) {
        seatAgain();
        return;
      }
      places.set(mine, partition, error.nextOffset);
      seek(partition);
    }
  };
}

function* chunksOf(messages: readonly KafkaMessage[]): Generator<readonly KafkaMessage[]> {
  let [from, bytes] = [0, 0];
  for (const [at, { value }] of messages.entries()) {
    const size = value?.length ?? 0;
    if (at > from && (bytes + size > atOnce.bytes || at - from >= atOnce.messages)) {
      yield messages.slice(from, at);
      [from, bytes] = [at, 0];
    }
    bytes += size;
  }
  if (from < messages.length) yield messages.slice(from);
}
