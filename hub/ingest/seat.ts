import { KafkaRefusal } from './topics.ts';

/** Where reading of one partition begins; `lost` says which messages the log no longer has. */
export interface Seat {
  readonly partition: number;
  readonly nextOffset: number;
  readonly known: boolean;
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
  at: { readonly clusterId: string; readonly topic: string },
  ends: readonly LogEnds[],
  progress: readonly {
    readonly clusterId: string;
    readonly partition: number;
    readonly nextOffset: number;
  }[],
): Seat[] {
  const { clusterId, topic } = at;
  const ours = new Map(
    progress.filter((one) => one.clusterId === clusterId).map((one) => [one.partition, one.nextOffset]),
  );
  const other = progress.find((one) => one.clusterId !== clusterId);
  if (ours.size === 0 && other) {
    throw new KafkaRefusal(
      'kafka.other_cluster',
      `${topic} was read on the Kafka cluster ${other.clusterId}, KAFKA_BROKERS leads to ${clusterId}: set it right, or, if the cluster was replaced, run \`delete from kafka_progress where cluster_id = '${other.clusterId}'\``,
    );
  }
  return ends.map(({ partition, low, high }) => {
    const nextOffset = ours.get(partition);
    if (nextOffset === undefined) return { partition, nextOffset: low, known: false, lost: null };
    if (nextOffset > high) throw pastEnd(clusterId, topic, partition, nextOffset, high);
    if (nextOffset >= low) return { partition, nextOffset, known: true, lost: null };
    return { partition, nextOffset: low, known: true, lost: { from: nextOffset, to: low } };
  });
}

export function pastEnd(
  clusterId: string,
  topic: string,
  partition: number,
  next: number,
  high: number,
): KafkaRefusal {
  return new KafkaRefusal(
    'kafka.past_end',
    `${topic}[${partition}] ends at ${high}, yet kafka_progress stands at ${next}: the topic was made anew or lost its end. If so, run \`delete from kafka_progress where cluster_id = '${clusterId}' and topic = '${topic}'\`: it is read from its beginning, and what is stored already is recognised`,
  );
}
