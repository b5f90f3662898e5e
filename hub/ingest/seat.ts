import type { Progress } from '../store/lock-progress.ts';
import type { KnownProgress } from '../store/seat-progress.ts';
import { KafkaRefusal } from './topics.ts';

/** A topic as it is there: the cluster's id, its name, and the id that the cluster gave it, where it gives any. */
export interface LogTopic {
  readonly clusterId: string;
  readonly topic: string;
  readonly topicId: string | null;
}

/** Where reading of one partition begins; `lost` says which messages the log no longer has. */
export interface Seat {
  readonly partition: number;
  readonly nextOffset: number;
  /** `unnamed`: its progress does not say yet of which topic it is. */
  readonly known: 'no' | 'unnamed' | 'yes';
  readonly lost: { readonly from: number; readonly to: number } | null;
}

export interface LogEnds {
  readonly partition: number;
  /** The first offset the log still has. */
  readonly low: number;
  /** The offset the next message will get. */
  readonly high: number;
}

/**
 * kafka_progress against what the log has. A log that is not the one we read from would be skipped silently up to where
 * the old one stood: that is refused. What retention deleted before it was read is passed over, loudly: the probes
 * still have it, since nothing of it was durable.
 */
export function seatsOf(
  at: LogTopic,
  ends: readonly LogEnds[],
  progress: readonly (Omit<Progress, 'topic'> & Pick<KnownProgress, 'topicId'>)[],
): Seat[] {
  const { clusterId, topicId } = at;
  const ours = new Map(
    progress.filter((one) => one.clusterId === clusterId).map((one) => [one.partition, one]),
  );
  const other = progress.find((one) => one.clusterId !== clusterId);
  if (!ends.some(({ partition }) => ours.has(partition)) && other) throw otherCluster(at, other.clusterId);
  return ends.map(({ partition, low, high }) => {
    const own = ours.get(partition);
    if (!own) return { partition, nextOffset: low, known: 'no', lost: null };
    if (isAnew(at, own)) throw topicAnew(at.topic);
    const { nextOffset } = own;
    if (nextOffset > high) throw pastEnd(at.topic, partition, nextOffset, high);
    const known = own.topicId === null && topicId !== null ? 'unnamed' : 'yes';
    if (nextOffset >= low) return { partition, nextOffset, known, lost: null };
    return { partition, nextOffset: low, known, lost: { from: nextOffset, to: low } };
  });
}

/** True where both ids are known and are not one. */
export function isAnew({ topicId }: LogTopic, progress: Pick<KnownProgress, 'topicId'>): boolean {
  return topicId !== null && progress.topicId !== null && topicId !== progress.topicId;
}

const repair =
  'stop the hubs and run `parallax kafka repair`: it shows what it would do, and with --yes has the topic read from its beginning; what is stored already is recognised';

function otherCluster({ clusterId, topic }: LogTopic, before: string): KafkaRefusal {
  return new KafkaRefusal(
    'kafka.other_cluster',
    `${topic} was read on the Kafka cluster ${before}, and KAFKA_BROKERS leads to ${clusterId}: set it right, or, if the cluster was replaced, ${repair}`,
  );
}

export function topicAnew(topic: string): KafkaRefusal {
  return new KafkaRefusal(
    'kafka.topic_anew',
    `${topic} is not the topic that was read so far: it was deleted and made anew under the same name: ${repair}`,
  );
}

export function pastEnd(topic: string, partition: number, next: number, high: number): KafkaRefusal {
  return new KafkaRefusal(
    'kafka.past_end',
    `${topic}[${partition}] ends at ${high}, yet kafka_progress stands at ${next}: the topic was made anew or lost its end: ${repair}`,
  );
}
