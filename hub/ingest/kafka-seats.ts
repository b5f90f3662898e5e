import type { Kafka } from 'kafkajs';
import { advanceProgress } from '../store/advance-progress.ts';
import type { Database } from '../store/database.ts';
import { insertProgress, listProgress } from '../store/seat-progress.ts';
import type { KafkaLog } from './kafka-client.ts';
import { withAdmin } from './kafka-topics.ts';
import { type Seat, seatsOf } from './seat.ts';
import { topicMissing } from './topics.ts';

export interface SeatingOptions {
  readonly kafka: Kafka;
  readonly topic: string;
  readonly db: Database;
  readonly log: KafkaLog;
}

export interface Seating {
  readonly clusterId: string;
  readonly seats: readonly Seat[];
}

/** Asks the log for its ends and PostgreSQL for the progress on it. Throws KafkaRefusal where they cannot both be right. */
export async function readSeats({ kafka, topic, db }: SeatingOptions): Promise<Seating> {
  return withAdmin(kafka, async (admin) => {
    const { clusterId } = await admin.describeCluster();
    if (!(await admin.listTopics()).includes(topic)) throw topicMissing(topic);
    const offsets = await admin.fetchTopicOffsets(topic);
    const ends = offsets.map(({ partition, low, high }) => ({
      partition,
      low: Number(low),
      high: Number(high),
    }));
    return { clusterId, seats: seatsOf({ clusterId, topic }, ends, await listProgress(db, topic)) };
  });
}

/** Writes down where reading of these partitions begins, with what was lost before it could be read. */
export async function takeSeats(
  { topic, db, log }: SeatingOptions,
  { clusterId, seats }: Seating,
): Promise<void> {
  for (const { partition, nextOffset, known, lost } of seats) {
    if (!known) await insertProgress(db, { clusterId, topic, partition, nextOffset });
    if (!lost) continue;
    const messages = lost.to - lost.from;
    log.error(
      { topic, partition, ...lost, messages },
      'the log dropped messages before they were read: their probes send them again; its retention is too short for how long the hub was away',
    );
    await advanceProgress(db, [{ clusterId, topic, partition, expected: lost.from, next: lost.to }]);
  }
}
