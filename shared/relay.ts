import type { SealedBatch } from './batch.ts';

/**
 * The relay takes a batch where only 443 is open: the value's bytes are the body, and what stands beside them in a
 * Kafka message stands in these headers. 204: transported, no more; only a lease's `durable` lets a probe forget it.
 * 503 with Retry-After: keep it and come again.
 */
export const relayPath = '/v1/results';
export const relayContentType = 'application/vnd.parallax.batch';
export const relayHeaders = {
  stream: 'parallax-stream',
  kid: 'parallax-kid',
  /** base64url. */
  signature: 'parallax-signature',
  schema: 'parallax-schema',
} as const;

/** The names of a Kafka message's headers: `kid` and `schema` are UTF-8, `sig` is the 64 bytes themselves. */
export const kafkaHeaders = { kid: 'kid', signature: 'sig', schema: 'schema' } as const;

export function relayHeadersOf({ key, headers }: SealedBatch): Record<string, string> {
  return {
    'content-type': relayContentType,
    [relayHeaders.stream]: key,
    [relayHeaders.kid]: headers.kid,
    [relayHeaders.signature]: Buffer.from(headers.sig).toString('base64url'),
    [relayHeaders.schema]: headers.schema,
  };
}

/** A sealed batch as it came, or the name of the header that is missing or has the wrong form. */
export function batchFromRelay(headers: Headers, value: Uint8Array): SealedBatch | string {
  const key = headers.get(relayHeaders.stream) ?? '';
  const kid = headers.get(relayHeaders.kid) ?? '';
  const signature = headers.get(relayHeaders.signature) ?? '';
  const schema = headers.get(relayHeaders.schema) ?? '';
  if (!/^[0-9a-f]{32}$/.test(key)) return relayHeaders.stream;
  if (!/^[A-Za-z0-9_-]{43}$/.test(kid)) return relayHeaders.kid;
  if (!/^[A-Za-z0-9_-]{86}$/.test(signature)) return relayHeaders.signature;
  if (!/^[1-9][0-9]{0,3}$/.test(schema)) return relayHeaders.schema;
  return { key, value, headers: { kid, sig: Buffer.from(signature, 'base64url'), schema } };
}
