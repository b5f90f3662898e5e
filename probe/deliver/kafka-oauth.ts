import type { Mechanism } from 'kafkajs';

/** The brokers do not believe the token, or there is none. */
export class TokenRefused extends Error {
  /** kafkajs would begin again in the middle of what is half done, and tell of that in place of this. */
  readonly retriable = false;
  constructor(message: string, cause?: unknown) {
    super(message, { cause });
    this.name = 'TokenRefused';
  }
}

function notBelieved(status: string): TokenRefused {
  return new TokenRefused(
    `the brokers do not believe this probe's token (${status}): they must read this hub's keys (/.well-known/kafka-jwks.json) and expect its PARALLAX_PUBLIC_URL as issuer; their log says which is wrong`,
  );
}

export interface TokenSasl {
  readonly mechanism: Mechanism;
  /** Why the last try to authenticate failed, or null. What kafkajs tells of it may be of the next try. */
  refusal(): TokenRefused | null;
}

/**
 * SASL/OAUTHBEARER (RFC 7628) that hears a refusal: kafkajs's own takes the server's error, which comes as a challenge
 * without an error code, for success, and the first request fails for a reason that is none.
 */
export function oauthBearer(token: () => Promise<string>): TokenSasl {
  let refusal: TokenRefused | null = null;
  const refuse = (error: TokenRefused): never => {
    refusal = error;
    throw error;
  };
  const mechanism: Mechanism = {
    mechanism: 'oauthbearer',
    authenticationProvider: ({ saslAuthenticate }) => ({
      async authenticate() {
        const value = await token().catch((error: unknown) =>
          refuse(new TokenRefused(error instanceof Error ? error.message : String(error), error)),
        );
        const challenge = await saslAuthenticate({
          request: { encode: () => withLength(`n,,\u0001auth=Bearer ${value}\u0001\u0001`) },
          response: { decode: (raw) => raw, parse: (raw) => raw.subarray(4).toString('utf8') },
        });
        if (challenge) refuse(notBelieved(statusOf(challenge)));
        refusal = null;
      },
    }),
  };
  return { mechanism, refusal: () => refusal };
}

function withLength(text: string): Buffer {
  const bytes = Buffer.from(text, 'utf8');
  const length = Buffer.alloc(4);
  length.writeInt32BE(bytes.length);
  return Buffer.concat([length, bytes]);
}

function statusOf(challenge: string): string {
  return /"status"\s*:\s*"([a-z_]{1,40})"/.exec(challenge)?.[1] ?? 'refused';
}
