import * as z from 'zod';

/** POST /v1/kafka-token, with an empty body: what a probe shows Kafka's brokers by SASL/OAUTHBEARER. */
export const kafkaTokenPath = '/v1/kafka-token';

export const kafkaTokenAnswerSchema = z.object({
  /** A JWT, ES256: iss the hub's public URL, aud `kafka`, sub `probe-<id>`. */
  token: z.string(),
  /** Epoch seconds, by the hub's clock. */
  expiresAt: z.int(),
  /** How long it lives from now on, for a probe whose clock is off. */
  ttlSeconds: z.int().positive(),
});
export type KafkaTokenAnswer = z.output<typeof kafkaTokenAnswerSchema>;
