import type { Kafka } from 'kafkajs';
import { advanceProgress } from '../store/advance-progress.ts';
import type { Database } from '../store/database.ts';
import { noteAlarm } from '../store/note-alarm.ts';
import { insertProgress, listProgress, nameProgress } from '../store/seat-progress.ts';
import type { KafkaLog } from './kafka-client.ts';
import { readTopicId } from './kafka-topic-id.ts';
import { withAdmin } from './kafka-topics.ts';
import { type LogEnds, type LogTopic, type Seat, seatsOf } from './seat.ts';
import { topicMissing } from './topics.ts';

export interface SeatingOptions {
  readonly kafka: Kafka;
  readonly topic: string;
  readonly db: Database;
  readonly log: KafkaLog;
}

export interface LogState extends LogTopic {
  readonly ends: readonly LogEnds[];
}

export interface Seating extends LogState {
  readonly seats: readonly Seat[];
}

/** Which topic it is and how far it reaches. Throws KafkaRefusal where there is none of that name. */
export async function readLog({ kafka, topic }: Pick<SeatingOptions, 'kafka' | 'topic'>): Promise<LogState> {
  return withAdmin(kafka, async (admin) => {
    const { clusterId } = await admin.describeCluster();
    if (!(await admin.listTopics()).includes(topic)) throw topicMissing(topic);
    // Before the ends: where it is made anew between the two, what is called its id is the older one's, and is seen.
    const topicId = await readTopicId(kafka, topic);
    const ends = (await admin.fetchTopicOffsets(topic)).map(({ partition, low, high }) => ({
      partition,
      low: Number(low),
      high: Number(high),
    }));
    return { clusterId, topic, topicId, ends };
  });
}

/** Asks the log for its ends and PostgreSQL for the progress on it. Throws KafkaRefusal where they cannot both be right. */
export async function readSeats({ kafka, topic, db }: SeatingOptions): Promise<Seating> {
  const log = await readLog({ kafka, topic });
  return { ...log, seats: seatsOf(log, log.ends, await listProgress(db, topic)) };
}

/**
 * Writes down where reading of these partitions begins, and raises an alarm for what was lost before it could be read.
 * Resolves to how many messages that was.
 */
export async function takeSeats(
  { topic, db, log }: SeatingOptions,
  { clusterId, topicId, seats }: Pick<Seating, 'clusterId' | 'topicId' | 'seats'>,
): Promise<number> {
  let dropped = 0;
  for (const { partition, nextOffset, known, lost } of seats) {
    if (known === 'no') await insertProgress(db, { clusterId, topic, partition, nextOffset, topicId });
    if (known === 'unnamed') await nameProgress(db, { clusterId, topic, partition, topicId });
    if (!lost) continue;
    const messages = lost.to - lost.from;
    await db.transaction(async (sql) => {
      await advanceProgress(sql, [{ clusterId, topic, partition, expected: lost.from, next: lost.to }]);
      const subject = `topic:${topic}[${partition}]`;
      await noteAlarm(sql, {
        actor: 'hub:ingest',
        action: 'alarm.log_dropped',
        subject,
        after: { ...lost, messages },
      });
    });
    dropped += messages;
    log.error(
      { topic, partition, ...lost, messages },
      'the log dropped messages before they were read: their probes send them again; its retention is too short for how long the hub was away',
    );
  }
  return dropped;
}
