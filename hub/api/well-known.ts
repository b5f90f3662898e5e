import { createHash } from 'node:crypto';
import { Hono } from 'hono';
import { keySetPath } from '../../shared/key-set.ts';
import { publicJwkOf } from '../trust/key-pair.ts';
import type { HubKeys, SigningKey } from '../trust/keys.ts';
import type { ApiEnv } from './operator.ts';

export const jwksPath = '/.well-known/jwks.json';
/** What Kafka's brokers check probes' tokens with: `sasl.oauthbearer.jwks.endpoint.url`. */
export const kafkaJwksPath = '/.well-known/kafka-jwks.json';

interface Sealed {
  readonly body: string;
  readonly etag: string;
}

/** The hub's public keys, in three documents. Each is made once, until the keys change. */
export function wellKnownRoutes({ keys }: { readonly keys: HubKeys }): Hono<ApiEnv> {
  const app = new Hono<ApiEnv>();
  const serve = (path: string, type: string, read: () => object) => {
    const seal = sealing(read);
    app.get(path, (context) => {
      const { body, etag } = seal();
      // Kept by whoever likes, asked about each time: a probe that meets a new key must not be shown the old set.
      const headers = { etag, 'cache-control': 'public, no-cache', 'content-type': type };
      const known = context.req.header('if-none-match');
      const same = known?.split(',').some((tag) => tag.trim().replace(/^W\//, '') === etag) ?? false;
      return same ? context.body(null, 304, headers) : context.body(body, 200, headers);
    });
  };
  serve(keySetPath, 'application/json', () => keys.keySet);
  serve(jwksPath, 'application/jwk-set+json', () => jwksOf(keys.leaseKeys, 'Ed25519'));
  serve(kafkaJwksPath, 'application/jwk-set+json', () => jwksOf(keys.kafkaKeys, 'ES256'));
  return app;
}

const jwksKept = new WeakMap<readonly SigningKey[], object>();

function jwksOf(keys: readonly SigningKey[], alg: string): object {
  const kept = jwksKept.get(keys);
  if (kept) return kept;
  const jwks = {
    keys: keys.map(({ kid, publicKey }) => ({ ...publicJwkOf(publicKey), kid, alg, use: 'sig' })),
  };
  jwksKept.set(keys, jwks);
  return jwks;
}

/** The text of what is read, made anew only where that is another object than before. */
function sealing(read: () => object): () => Sealed {
  let of: object | null = null;
  let sealed: Sealed = { body: '', etag: '' };
  return () => {
    const now = read();
    if (now === of) return sealed;
    const body = JSON.stringify(now);
    sealed = { body, etag: `"${createHash('sha256').update(body).digest('base64url')}"` };
    of = now;
    return sealed;
  };
}
