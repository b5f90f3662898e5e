import { setTimeout as wait } from 'node:timers/promises';
import type { Consumer, EachBatchPayload } from 'kafkajs';
import { advanceProgress } from '../store/advance-progress.ts';
import type { BatchHandler } from './bus.ts';
import { heartbeating } from './heartbeating.ts';
import { kafkaReason } from './kafka-client.ts';
import { batchFromMessage } from './kafka-message.ts';
import { readSeats, type SeatingOptions, takeSeats } from './kafka-seats.ts';
import { pastEnd } from './seat.ts';
import { KafkaRefusal } from './topics.ts';
import { ProgressConflict } from './trouble.ts';

export interface ReaderOptions extends SeatingOptions {
  readonly groupId: string;
  /** Reading has ended and will not begin again: the process should end, so that it is started anew. */
  readonly onFatal: (error: Error) => void;
  /** First and longest pause while the database is away. */
  readonly retryMs: readonly [first: number, longest: number];
}

export interface Reader {
  /** Resolves when reading has begun, or Kafka cannot be reached yet; throws KafkaRefusal. */
  start(handler: BatchHandler): Promise<void>;
  trouble(): string | null;
  /** Messages that wait, over this member's partitions. */
  lag(): number | null;
  stop(): Promise<void>;
}

/** Handed over at once: with so many partitions at a time this bounds what is in memory decoded. */
const chunkMessages = 16;
const partitionsAtOnce = 8;
/** Kafka's own committed offsets are only for those who look at lag. */
const commitEveryMs = 5000;

/** Reads the results topic from where kafka_progress stands. All that Kafka itself remembers of us is not believed. */
export function createReader(options: ReaderOptions): Reader {
  const { kafka, groupId, topic, db, log, onFatal, retryMs } = options;
  const consumer: Consumer = kafka.consumer({
    groupId,
    // A hub that was killed, or lost its broker, holds its partitions for so long.
    sessionTimeout: 10_000,
    heartbeatInterval: 3000,
    maxBytesPerPartition: 1024 * 1024,
    maxBytes: 8 * 1024 * 1024,
    maxWaitTimeInMs: 500,
    allowAutoTopicCreation: false,
    retry: { initialRetryTime: 200, maxRetryTime: 5000, retries: 8, restartOnFailure: async () => !stopped },
  });
  /** The next offset of each partition that is ours, and the end of its log as last seen. */
  const next = new Map<number, number>();
  const ends = new Map<number, number>();
  let clusterId = '';
  let generation = 0;
  let seating: Promise<void> = Promise.resolve();
  let stopped = false;
  let why: string | null = 'not connected to Kafka yet';
  let pauseMs = retryMs[0];
  let resumeTimer: NodeJS.Timeout | undefined;
  let commitTimer: NodeJS.Timeout | undefined;

  function seek(partition: number): void {
    const offset = next.get(partition);
    if (offset !== undefined && !stopped) consumer.seek({ topic, partition, offset: String(offset) });
  }

  function fail(error: Error): void {
    if (stopped) return;
    why = error.message;
    log.error({ topic, error: error.message }, 'results are read from Kafka no more');
    onFatal(error);
  }

  /** On every assignment: whoever had these partitions before may have come further, or less far, than Kafka says. */
  async function seat(partitions: readonly number[], mine: number): Promise<void> {
    next.clear();
    for (let delayMs = retryMs[0]; mine === generation && !stopped; delayMs *= 2) {
      try {
        const read = await readSeats(options);
        const seats = read.seats.filter(({ partition }) => partitions.includes(partition));
        if (mine !== generation) return;
        await takeSeats(options, { ...read, seats });
        clusterId = read.clusterId;
        for (const { partition, nextOffset } of seats) {
          next.set(partition, nextOffset);
          seek(partition);
        }
        if (why !== null) log.info({ topic, partitions: seats.length }, 'results are read from Kafka');
        why = null;
        return;
      } catch (error) {
        if (error instanceof KafkaRefusal) return fail(error);
        why = kafkaReason(error);
        log.warn({ topic, error: why }, 'where to read on cannot be found out yet');
        await wait(Math.min(delayMs, retryMs[1]));
      }
    }
  }

  function pause(error: unknown): void {
    const reason = error instanceof Error ? error.message : String(error);
    if (resumeTimer !== undefined || stopped) return;
    log.warn({ topic, error: reason }, 'results cannot be stored: reading pauses');
    why = reason;
    consumer.pause([{ topic }]);
    resumeTimer = setTimeout(() => {
      resumeTimer = undefined;
      if (!stopped) consumer.resume([{ topic }]);
    }, pauseMs);
    pauseMs = Math.min(pauseMs * 2, retryMs[1]);
  }

  /** True where the log itself has nothing between: control records, or what was passed over when seats were taken. */
  async function passHole(partition: number, from: number, to: number): Promise<boolean> {
    const { seats } = await readSeats(options);
    const lost = seats.find((one) => one.partition === partition)?.lost;
    if (lost || !holes.has(`${partition}:${from}:${to}`)) {
      // Perhaps only a fetch from before the seek: ask again from the right place, once.
      holes.add(`${partition}:${from}:${to}`);
      if (lost) seating = seat([...next.keys()], generation);
      else seek(partition);
      return false;
    }
    holes.clear();
    await advanceProgress(db, [{ clusterId, topic, partition, expected: from, next: to }]);
    next.set(partition, to);
    return true;
  }
  const holes = new Set<string>();

  async function eachBatch(handler: BatchHandler, payload: EachBatchPayload): Promise<void> {
    const { batch, heartbeat, resolveOffset, isRunning, isStale } = payload;
    const { partition } = batch;
    await heartbeating(heartbeat, () => seating);
    const mine = generation;
    const ours = () => isRunning() && !isStale() && mine === generation && !stopped;
    const from = next.get(partition);
    const first = batch.messages[0];
    if (from === undefined || !first || !ours()) return;
    const high = Number(batch.highWatermark);
    ends.set(partition, high);
    if (high < from) return fail(pastEnd(clusterId, topic, partition, from, high));
    const begins = Number(first.offset);
    if (begins > from && !(await passHole(partition, from, begins))) return;
    const due = batch.messages.filter((message) => Number(message.offset) >= from);
    if (due.length === 0) return seek(partition);
    for (let at = 0; at < due.length && ours(); at += chunkMessages) {
      const chunk = due.slice(at, at + chunkMessages);
      const batches = chunk.map((message) => batchFromMessage(message, { clusterId, topic, partition }));
      await heartbeating(heartbeat, (signal) => handler(batches, signal));
      const last = chunk.at(-1)?.offset;
      if (!ours() || last === undefined) return;
      resolveOffset(last);
      next.set(partition, Number(last) + 1);
      if (why !== null) log.info({ topic }, 'results are stored again');
      why = null;
      pauseMs = retryMs[0];
    }
  }

  /** kafkajs takes any error for its own and begins anew: only what it can do something about goes through. */
  async function read(handler: BatchHandler, payload: EachBatchPayload): Promise<void> {
    try {
      await eachBatch(handler, payload);
    } catch (error) {
      if ((error as Error).name.startsWith('KafkaJS')) throw error;
      const { partition } = payload.batch;
      if (!(error instanceof ProgressConflict)) return pause(error);
      log.warn({ topic, partition, error: error.message }, 'another member came further: reading from there');
      if (error.nextOffset === null) seating = seat([...next.keys()], generation);
      else next.set(partition, error.nextOffset);
      seek(partition);
    }
  }

  async function connect(handler: BatchHandler): Promise<void> {
    // What cannot be right at all is found before anything is read.
    await readSeats(options);
    await consumer.connect();
    await consumer.subscribe({ topics: [topic], fromBeginning: true });
    consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
      generation += 1;
      seating = seat(payload.memberAssignment[topic] ?? [], generation);
    });
    consumer.on(consumer.events.CRASH, ({ payload }) => {
      if (stopped) return;
      if (!payload.restart) return fail(payload.error);
      if (why === null) log.warn({ topic, error: kafkaReason(payload.error) }, 'Kafka is away: trying on');
      why = kafkaReason(payload.error);
    });
    await consumer.run({
      autoCommit: false,
      eachBatchAutoResolve: false,
      partitionsConsumedConcurrently: partitionsAtOnce,
      eachBatch: (payload) => read(handler, payload),
    });
    commitTimer = setInterval(() => void commit(), commitEveryMs);
  }

  async function commit(): Promise<void> {
    const offsets = [...next].map(([partition, offset]) => ({ topic, partition, offset: String(offset) }));
    if (offsets.length > 0 && !stopped) await consumer.commitOffsets(offsets).catch(() => undefined);
  }

  async function keepConnecting(handler: BatchHandler): Promise<void> {
    for (let delayMs = retryMs[0]; !stopped; delayMs = Math.min(delayMs * 2, retryMs[1])) {
      await wait(delayMs);
      try {
        return await connect(handler);
      } catch (error) {
        if (error instanceof KafkaRefusal) return fail(error);
        why = kafkaReason(error);
      }
    }
  }

  return {
    async start(handler) {
      try {
        await connect(handler);
      } catch (error) {
        if (error instanceof KafkaRefusal) throw error;
        why = kafkaReason(error);
        log.warn({ error: why }, 'Kafka cannot be reached: trying on');
        void keepConnecting(handler);
      }
    },
    trouble: () => why,
    lag() {
      const waiting = [...next].map(([partition, offset]) => (ends.get(partition) ?? offset) - offset);
      return next.size === 0 ? null : waiting.reduce((sum, one) => sum + Math.max(0, one), 0);
    },
    async stop() {
      await commit();
      stopped = true;
      clearTimeout(resumeTimer);
      clearInterval(commitTimer);
      await consumer.disconnect().catch(() => undefined);
    },
  };
}
