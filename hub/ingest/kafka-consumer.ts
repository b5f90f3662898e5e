import { setTimeout as wait } from 'node:timers/promises';
import type { Consumer } from 'kafkajs';
import type { BatchHandler } from './bus.ts';
import { kafkaReason } from './kafka-client.ts';
import { groupMember } from './kafka-member.ts';
import { partitionReader } from './kafka-partition.ts';
import { type LogState, readLog, readSeats, type SeatingOptions, takeSeats } from './kafka-seats.ts';
import { watchLog } from './log-watch.ts';
import { createPlaces, type PartitionLag } from './places.ts';
import { isAnew, type LogTopic, topicAnew } from './seat.ts';
import { surelySeats } from './surely-seats.ts';
import { KafkaRefusal } from './topics.ts';

export interface ReaderOptions extends SeatingOptions {
  readonly groupId: string;
  /** The log is not the one to read, and only a person can say what now: the process should end and say so. */
  readonly onFatal: (error: KafkaRefusal) => void;
  /** Brokers were away a moment ago: done once they are there, before anything is read. */
  readonly prepare?: () => Promise<void>;
  /** First and longest pause while the database, or Kafka, is away. */
  readonly retryMs: readonly [first: number, longest: number];
  /** New partitions, another topic under the same name and what waits are seen within so long. */
  readonly lookEveryMs: number;
  /** Brokers that stand still, or a route that swallows all, break no connection for minutes: told after so long. */
  readonly silentMs: number;
  /** So long a log may seem to end before our place, as a new leader's may, until it is believed. */
  readonly patienceMs: number;
}

export interface Reader {
  /** Resolves when reading has begun, or Kafka cannot be reached yet; throws KafkaRefusal. */
  start(handler: BatchHandler): Promise<void>;
  trouble(): string | null;
  /** Of this member's partitions; null where it has none, or does not know them yet. */
  lags(): readonly PartitionLag[] | null;
  /** Messages that the log dropped before they were read, since the start. */
  dropped(): number;
  /** Finishes what is in hand, within 4 s. */
  stop(): Promise<void>;
}

/** With what kafka-partition.ts hands over at once this bounds what is in memory decoded. */
const partitionsAtOnce = 16;
/** Kafka's own committed offsets are only for those who look at lag. */
const commitEveryMs = 5000;
const stopMs = { commit: 1000, leave: 3000 } as const;

/** Reads the results topic from where kafka_progress stands. All that Kafka itself remembers of us is not believed. */
export function createReader(options: ReaderOptions): Reader {
  const { topic, log, onFatal, retryMs, lookEveryMs, silentMs } = options;
  const places = createPlaces();
  const stopping = new AbortController();
  const stopped = () => stopping.signal.aborted;
  const pause = (ms: number) => wait(ms, undefined, { signal: stopping.signal }).catch(() => undefined);
  let consumer: Consumer | null = null;
  let reads: LogTopic = { clusterId: '', topic, topicId: null };
  let seating: Promise<void> = Promise.resolve();
  let seatsAgain = false;
  /** While brokers are away one takes longer than until the next. */
  let commits = false;
  let dropped = 0;
  let why: string | null = 'not connected to Kafka yet';
  let refusal: string | null = null;
  let { prepare } = options;
  let pauseMs = retryMs[0];
  let heardMs = performance.now();
  let resumeTimer: NodeJS.Timeout | undefined;
  let commitTimer: NodeJS.Timeout | undefined;

  function seek(partition: number): void {
    const offset = places.at(partition);
    if (offset !== undefined && !stopped()) consumer?.seek({ topic, partition, offset: String(offset) });
  }

  function fail(error: KafkaRefusal): void {
    if (stopped()) return;
    refusal = error.message;
    log.error({ topic, error: error.message }, 'results are read from Kafka no more');
    void end(error);
    onFatal(error);
  }

  /** Nothing is read from here on; resolves when the group knows it. */
  async function end(why: Error): Promise<void> {
    stopping.abort(why);
    clearInterval(commitTimer);
    clearTimeout(resumeTimer);
    const left = consumer?.disconnect().catch(() => undefined);
    await Promise.race([left, wait(stopMs.leave, undefined, { ref: false })]);
  }

  /** On every assignment: whoever had these partitions before may have come further, or less far, than Kafka says. */
  async function seat(partitions: readonly number[], mine: number): Promise<void> {
    const isOver = () => mine !== places.generation() || stopped();
    for (let delayMs = retryMs[0]; !isOver(); delayMs = Math.min(delayMs * 2, retryMs[1])) {
      try {
        const read = await surelySeats(() => readSeats(options), options.patienceMs, stopping.signal);
        if (isOver()) return;
        const seats = read.seats.filter(({ partition }) => partitions.includes(partition));
        const unseen = partitions.length - seats.length;
        if (unseen > 0) throw new Error(`the leader of ${unseen} partitions is not known yet`);
        dropped += await takeSeats(options, { ...read, seats });
        if (isOver()) return;
        reads = read;
        for (const { partition, nextOffset } of seats) {
          places.set(mine, partition, nextOffset);
          seek(partition);
        }
        sawEnds(read);
        heard();
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

  const heard = () => {
    heardMs = performance.now();
  };

  function silence(): string | null {
    const ms = performance.now() - heardMs;
    return ms < silentMs ? null : `Kafka has not answered for ${Math.round(ms / 1000)} s`;
  }

  async function look(): Promise<void> {
    const before = places.offsets();
    const state = await readLog(options);
    heard();
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

  const readPartition = partitionReader({
    ...options,
    places,
    reads: () => reads,
    stopped,
    seated: () => seating,
    seek,
    seatAgain,
    onStored() {
      heard();
      if (why !== null) log.info({ topic }, 'results are stored again');
      why = null;
      pauseMs = retryMs[0];
    },
    onTrouble: standStill,
  });

  async function connect(handler: BatchHandler): Promise<void> {
    await prepare?.();
    prepare = undefined;
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
      eachBatch: (payload) => readPartition(handler, payload),
    });
  }

  async function commit(): Promise<void> {
    const offsets = places
      .offsets()
      .map(([partition, offset]) => ({ topic, partition, offset: String(offset) }));
    if (commits || offsets.length === 0 || stopped()) return;
    commits = true;
    await consumer?.commitOffsets(offsets).catch(() => undefined);
    commits = false;
  }

  async function connectOrTryOn(handler: BatchHandler): Promise<void> {
    try {
      await connect(handler);
    } catch (error) {
      if (error instanceof KafkaRefusal) throw error;
      why = kafkaReason(error);
      log.warn({ error: why }, 'Kafka cannot be reached: trying on');
      void keepConnecting(handler);
    }
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
      // Who asked a moment ago need not wait for the same silence again.
      if (prepare) void keepConnecting(handler);
      else await connectOrTryOn(handler);
      commitTimer = setInterval(() => void commit(), commitEveryMs);
      void watchLog({ look, everyMs: lookEveryMs, signal: stopping.signal, log, onRefusal: fail });
    },
    trouble: () => refusal ?? why ?? silence(),
    dropped: () => dropped,
    lags() {
      const lags = places.lags();
      return lags.length === 0 ? null : lags;
    },
    async stop() {
      await Promise.race([commit(), wait(stopMs.commit, undefined, { ref: false })]);
      await end(new Error('the hub is stopping'));
    },
  };
}
