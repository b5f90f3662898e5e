import { kafkaTokenAnswerSchema, kafkaTokenPath } from '../../shared/kafka-token.ts';
import type { HubLink } from '../hub/hub-link.ts';
import { problemOf } from '../hub/open-hub-link.ts';

const timeoutMs = 10_000;
/**
 * Renewed when so much of its life is over: no connection starts with one that ends at once, and one that shows a token
 * again in its last seconds (see kafka-way) shows a new one, also where a life is as short as may be, of 10 s.
 */
const usedPart = 0.6;

/** A token for Kafka's brokers, asked for once and used by every connection until most of its life is over. */
export function createAccessTokens(link: HubLink, signal: AbortSignal): () => Promise<string> {
  let current: { readonly token: string; readonly renewAtMs: number } | null = null;
  let asking: Promise<string> | null = null;

  async function ask(): Promise<string> {
    const askedMs = performance.now();
    const { status, body } = await link.request('POST', kafkaTokenPath, { timeoutMs, signal });
    if (status !== 200) {
      const { code, detail } = problemOf(body);
      throw new Error(`the hub gives no token for Kafka: ${status} ${code ?? ''} ${detail}`.trimEnd());
    }
    const { token, ttlSeconds } = kafkaTokenAnswerSchema.parse(
      JSON.parse(Buffer.from(body).toString('utf8')),
    );
    current = { token, renewAtMs: askedMs + ttlSeconds * 1000 * usedPart };
    return token;
  }

  return async () => {
    if (current && performance.now() < current.renewAtMs) return current.token;
    asking ??= ask().finally(() => {
      asking = null;
    });
    return asking;
  };
}
