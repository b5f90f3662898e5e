import { setTimeout as wait } from 'node:timers/promises';
import type { Consumer, EachBatchPayload } from 'kafkajs';
import { advanceProgress } from '../store/advance-progress.ts';
import type { BatchHandler } from './bus.ts';
import { heartbeating } from './heartbeating.ts';
import { kafkaReason } from './kafka-client.ts';
import { groupMember } from './kafka-member.ts';
import { batchFromMessage } from './kafka-message.ts';
import { type LogState, readLog, readSeats, type SeatingOptions, takeSeats } from './kafka-seats.ts';
import { watchLog } from './log-watch.ts';
import { createPlaces, type PartitionLag } from './places.ts';
import { isAnew, type LogTopic, topicAnew } from './seat.ts';
import { surelySeats } from './surely-seats.ts';
import { KafkaRefusal } from './topics.ts';
import { ProgressConflict } from './trouble.ts';

export interface ReaderOptions extends SeatingOptions {
  readonly groupId: string;
  /** The log is not the one to read, and only a person can say what now: the process should end and say so. */
  readonly onFatal: (error: KafkaRefusal) => void;
  /** First and longest pause while the database, or Kafka, is away. */
  readonly retryMs: readonly [first: number, longest: number];
  /** New partitions, another topic under the same name and what waits are seen within so long. */
  readonly lookEveryMs: number;
  /** So long a log may seem to end before our place, as a new leader's may, until it is believed. */
  readonly patienceMs: number;
}

export interface Reader {
  /** Resolves when reading has begun, or Kafka cannot be reached yet; throws KafkaRefusal. */
  start(handler: BatchHandler): Promise<void>;
  trouble(): string | null;
  /** Of this member's partitions; null where it has none, or does not know them yet. */
  lags(): readonly PartitionLag[] | null;
  /** Finishes what is in hand, within 4 s. */
  stop(): Promise<void>;
}

/** Handed over at once: with so many partitions at a time this bounds what is in memory decoded. */
const chunkMessages = 16;
const partitionsAtOnce = 8;
/** Kafka's own committed offsets are only for those who look at lag. */
const commitEveryMs = 5000;
const stopMs = { commit: 1000, leave: 3000 } as const;

/** Reads the results topic from where kafka_progress stands. All that Kafka itself remembers of us is not believed. */
export function createReader(options: ReaderOptions): Reader {
  const { topic, db, log, onFatal, retryMs, lookEveryMs } = options;
  const places = createPlaces();
  const stopping = new AbortController();
  const stopped = () => stopping.signal.aborted;
  const pause = (ms: number) => wait(ms, undefined, { signal: stopping.signal }).catch(() => undefined);
  let consumer: Consumer | null = null;
  let reads: LogTopic = { clusterId: '', topic, topicId: null };
  let seating: Promise<void> = Promise.resolve();
  let seatsAgain = false;
  let why: string | null = 'not connected to Kafka yet';
  let pauseMs = retryMs[0];
  let resumeTimer: NodeJS.Timeout | undefined;
  let commitTimer: NodeJS.Timeout | undefined;
  /** Holes at the begin of a fetch that were asked about once. */
  const holes = new Set<string>();

  function seek(partition: number): void {
    const offset = places.at(partition);
    if (offset !== undefined && !stopped()) consumer?.seek({ topic, partition, offset: String(offset) });
  }

  function fail(error: KafkaRefusal): void {
    if (stopped()) return;
    why = error.message;
    log.error({ topic, error: error.message }, 'results are read from Kafka no more');
    onFatal(error);
  }

  /** On every assignment: whoever had these partitions before may have come further, or less far, than Kafka says. */
  async function seat(partitions: readonly number[], mine: number): Promise<void> {
    const isOver = () => mine !== places.generation() || stopped();
    holes.clear();
    for (let delayMs = retryMs[0]; !isOver(); delayMs = Math.min(delayMs * 2, retryMs[1])) {
      try {
        const read = await surelySeats(() => readSeats(options), options.patienceMs, stopping.signal);
        if (isOver()) return;
        const seats = read.seats.filter(({ partition }) => partitions.includes(partition));
        const unseen = partitions.length - seats.length;
        if (unseen > 0) throw new Error(`the leader of ${unseen} partitions is not known yet`);
        await takeSeats(options, { ...read, seats });
        if (isOver()) return;
        reads = read;
        for (const { partition, nextOffset } of seats) {
          places.set(mine, partition, nextOffset);
          seek(partition);
        }
        sawEnds(read);
        if (why !== null) log.info({ topic, partitions: seats.length }, 'results are read from Kafka');
        why = null;
        return;
      } catch (error) {
        if (isOver()) return;
        if (error instanceof KafkaRefusal) return fail(error);
        why = kafkaReason(error);
        log.warn({ topic, error: why }, 'where to read on cannot be found out yet');
        await pause(delayMs);
      }
    }
  }

  function seatAgain(): void {
    const ours = places.offsets().map(([partition]) => partition);
    if (seatsAgain || ours.length === 0) return;
    seatsAgain = true;
    seating = seat(ours, places.generation()).finally(() => {
      seatsAgain = false;
    });
  }

  function sawEnds({ ends }: LogState): void {
    for (const { partition, high } of ends) places.sawEnd(partition, high);
  }

  async function look(): Promise<void> {
    const before = places.offsets();
    const state = await readLog(options);
    if (stopped() || reads.clusterId === '') return;
    sawEnds(state);
    if (isAnew(state, reads)) fail(topicAnew(topic));
    const highs = new Map(state.ends.map(({ partition, high }) => [partition, high]));
    const isPastEnd = before.some(([partition, next]) => next > (highs.get(partition) ?? next));
    if (state.clusterId !== reads.clusterId || isPastEnd) seatAgain();
  }

  function standStill(error: unknown): void {
    const reason = error instanceof Error ? error.message : String(error);
    if (resumeTimer !== undefined || stopped()) return;
    log.warn({ topic, error: reason }, 'results cannot be stored: reading pauses');
    why = reason;
    consumer?.pause([{ topic }]);
    resumeTimer = setTimeout(() => {
      resumeTimer = undefined;
      if (!stopped()) consumer?.resume([{ topic }]);
    }, pauseMs);
    pauseMs = Math.min(pauseMs * 2, retryMs[1]);
  }

  /** True where the log itself has nothing between: control records, or what was passed over when seats were taken. */
  async function passHole(partition: number, from: number, to: number, mine: number): Promise<boolean> {
    const { seats } = await readSeats(options);
    const lost = seats.find((one) => one.partition === partition)?.lost;
    const hole = `${partition}:${from}:${to}`;
    if (lost || !holes.has(hole)) {
      // Perhaps only a fetch from before the seek: ask again from the right place, once.
      holes.add(hole);
      if (lost) seatAgain();
      else seek(partition);
      return false;
    }
    holes.clear();
    await advanceProgress(db, [{ clusterId: reads.clusterId, topic, partition, expected: from, next: to }]);
    places.set(mine, partition, to);
    return true;
  }

  async function eachBatch(handler: BatchHandler, payload: EachBatchPayload): Promise<void> {
    const { batch, heartbeat, resolveOffset, isRunning, isStale } = payload;
    const { partition } = batch;
    await heartbeating(heartbeat, () => seating);
    const mine = places.generation();
    const ours = () => isRunning() && !isStale() && mine === places.generation() && !stopped();
    const from = places.at(partition);
    const first = batch.messages[0];
    if (from === undefined || !first || !ours()) return;
    const high = Number(batch.highWatermark);
    places.sawEnd(partition, high);
    if (high < from) return seatAgain();
    const begins = Number(first.offset);
    if (begins > from && !(await passHole(partition, from, begins, mine))) return;
    const due = batch.messages.filter((message) => Number(message.offset) >= from);
    if (due.length === 0) return seek(partition);
    for (let at = 0; at < due.length && ours(); at += chunkMessages) {
      const chunk = due.slice(at, at + chunkMessages);
      const { clusterId } = reads;
      const batches = chunk.map((message) => batchFromMessage(message, { clusterId, topic, partition }));
      await heartbeating(heartbeat, (signal) => handler(batches, signal));
      const last = chunk.at(-1)?.offset;
      if (!ours() || last === undefined) return;
      resolveOffset(last);
      places.set(mine, partition, Number(last) + 1);
      if (why !== null) log.info({ topic }, 'results are stored again');
      why = null;
      pauseMs = retryMs[0];
    }
  }

  /** kafkajs takes any error for its own and begins anew: only what it can do something about goes through. */
  async function read(handler: BatchHandler, payload: EachBatchPayload): Promise<void> {
    const mine = places.generation();
    try {
      await eachBatch(handler, payload);
    } catch (error) {
      if ((error as Error).name.startsWith('KafkaJS')) throw error;
      const { partition } = payload.batch;
      if (!(error instanceof ProgressConflict)) return standStill(error);
      if (mine !== places.generation()) return;
      log.warn({ topic, partition, error: error.message }, 'another member came further: reading from there');
      if (error.nextOffset === null) return seatAgain();
      places.set(mine, partition, error.nextOffset);
      seek(partition);
    }
  }

  async function connect(handler: BatchHandler): Promise<void> {
    // What cannot be right at all is found before anything is read.
    await surelySeats(() => readSeats(options), options.patienceMs, stopping.signal);
    const made = groupMember(options, () => !stopped());
    try {
      await made.connect();
      await made.subscribe({ topics: [topic], fromBeginning: true });
      stopping.signal.throwIfAborted();
    } catch (error) {
      await made.disconnect().catch(() => undefined);
      throw error;
    }
    consumer = made;
    made.on(made.events.GROUP_JOIN, ({ payload }) => {
      const mine = places.begin();
      seating = seat(payload.memberAssignment[topic] ?? [], mine);
    });
    made.on(made.events.CRASH, ({ payload }) => {
      if (stopped()) return;
      if (why === null) log.warn({ topic, error: kafkaReason(payload.error) }, 'Kafka is away: trying on');
      why = kafkaReason(payload.error);
      // Such as a right that was taken away: kafkajs does not try on, and its consumer is of no use any more.
      if (!payload.restart) void keepConnecting(handler);
    });
    await made.run({
      autoCommit: false,
      eachBatchAutoResolve: false,
      partitionsConsumedConcurrently: partitionsAtOnce,
      eachBatch: (payload) => read(handler, payload),
    });
  }

  async function commit(): Promise<void> {
    const offsets = places
      .offsets()
      .map(([partition, offset]) => ({ topic, partition, offset: String(offset) }));
    if (offsets.length > 0 && !stopped()) await consumer?.commitOffsets(offsets).catch(() => undefined);
  }

  async function keepConnecting(handler: BatchHandler): Promise<void> {
    consumer = null;
    places.begin();
    for (let delayMs = retryMs[0]; !stopped(); delayMs = Math.min(delayMs * 2, retryMs[1])) {
      await pause(delayMs);
      try {
        if (!stopped()) await connect(handler);
        return;
      } catch (error) {
        if (error instanceof KafkaRefusal) return fail(error);
        if (!stopped()) why = kafkaReason(error);
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
      commitTimer = setInterval(() => void commit(), commitEveryMs);
      void watchLog({ look, everyMs: lookEveryMs, signal: stopping.signal, log, onRefusal: fail });
    },
    trouble: () => why,
    lags() {
      const lags = places.lags();
      return lags.length === 0 ? null : lags;
    },
    async stop() {
      clearInterval(commitTimer);
      await Promise.race([commit(), wait(stopMs.commit, undefined, { ref: false })]);
      stopping.abort(new Error('the hub is stopping'));
      clearTimeout(resumeTimer);
      const left = consumer?.disconnect().catch(() => undefined);
      await Promise.race([left, wait(stopMs.leave, undefined, { ref: false })]);
    },
  };
}
