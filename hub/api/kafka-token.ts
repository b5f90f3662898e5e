import { Hono } from 'hono';
import { SignJWT } from 'jose';
import { type KafkaTokenAnswer, kafkaTokenPath } from '../../shared/kafka-token.ts';
import type { HubKafkaConfig } from '../config.ts';
import { Problem } from '../problem.ts';
import type { HubKeys } from '../trust/keys.ts';
import type { Prover } from '../trust/prove-request.ts';
import type { ApiEnv } from './operator.ts';
import { readBody } from './read-body.ts';

export interface KafkaTokenOptions {
  readonly prover: Pick<Prover, 'proveThenRead'>;
  readonly keys: Pick<HubKeys, 'kafka'>;
  readonly publicUrl: string;
  readonly kafka: Pick<HubKafkaConfig, 'probes'> | null;
  /** Epoch microseconds. */
  readonly now: () => number;
}

export const kafkaAudience = 'kafka';

/** The Kafka principal of a probe: what ACLs and quotas name. */
export function kafkaPrincipal(probeId: number): string {
  return `probe-${probeId}`;
}

/** POST /v1/kafka-token. ES256, since Kafka's validator refuses EdDSA. */
export function kafkaTokenRoutes(options: KafkaTokenOptions): Hono<ApiEnv> {
  const { prover, keys, publicUrl, kafka, now } = options;
  const app = new Hono<ApiEnv>();
  app.post(kafkaTokenPath, async (context) => {
    const request = context.req.raw;
    const { probe } = await prover.proveThenRead(request, () => readBody(request, 1024));
    if (kafka?.probes?.auth !== 'oauthbearer') {
      throw new Problem(
        404,
        'kafka.no_tokens',
        'this hub gives no tokens for Kafka: use what the lease names',
      );
    }
    const ttlSeconds = kafka.probes.tokenTtlSeconds;
    const iat = Math.floor(now() / 1_000_000);
    // Whole seconds: rounded up, so that it lives as long as is said.
    const expiresAt = iat + 1 + ttlSeconds;
    const { kid, privateKey } = keys.kafka;
    const token = await new SignJWT({ scope: 'produce' })
      .setProtectedHeader({ alg: 'ES256', typ: 'JWT', kid })
      .setIssuer(publicUrl)
      .setAudience(kafkaAudience)
      .setSubject(kafkaPrincipal(probe.id))
      .setIssuedAt(iat)
      .setExpirationTime(expiresAt)
      .sign(privateKey);
    return context.json({ token, expiresAt, ttlSeconds } satisfies KafkaTokenAnswer, 200, {
      'cache-control': 'no-store',
    });
  });
  return app;
}
