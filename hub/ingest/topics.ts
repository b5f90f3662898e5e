/** The topics of one environment, such as `dev` or `prod`. */
export function topicNames(env: string): { readonly results: string; readonly hostMetrics: string } {
  return { results: `${env}.parallax.results.v1`, hostMetrics: `${env}.parallax.host-metrics.v1` };
}

/** Kafka cannot be used as it is; the message says what to do. */
export class KafkaRefusal extends Error {
  readonly code: 'kafka.topic_missing' | 'kafka.other_cluster' | 'kafka.topic_anew' | 'kafka.past_end';
  constructor(code: KafkaRefusal['code'], message: string) {
    super(message);
    this.name = 'KafkaRefusal';
    this.code = code;
  }
}

export function topicMissing(topic: string): KafkaRefusal {
  return new KafkaRefusal(
    'kafka.topic_missing',
    `the topic ${topic} does not exist: run \`parallax migrate up\` with KAFKA_BROKERS set; topics are never made by themselves`,
  );
}
