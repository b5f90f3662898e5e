import type { Mechanism } from 'kafkajs';

/** The brokers do not believe the token. kafkajs tries nothing again that says so. */
export class TokenRefused extends Error {
  readonly retriable = false;
  constructor(status: string) {
    super(
      `the brokers do not believe this probe's token (${status}): they must read this hub's keys (/.well-known/kafka-jwks.json) and expect its PARALLAX_PUBLIC_URL as issuer; their log says which is wrong`,
    );
    this.name = 'TokenRefused';
  }
}

/**
 * SASL/OAUTHBEARER (RFC 7628) that hears a refusal: kafkajs's own takes the server's error, which comes as a challenge
 * without an error code, for success, and the first request fails for a reason that is none.
 */
export function oauthBearer(token: () => Promise<string>): Mechanism {
  return {
    mechanism: 'oauthbearer',
    authenticationProvider: ({ saslAuthenticate }) => ({
      async authenticate() {
        const value = await token();
        const challenge = await saslAuthenticate({
          request: { encode: () => withLength(`n,,\u0001auth=Bearer ${value}\u0001\u0001`) },
          response: { decode: (raw) => raw, parse: (raw) => raw.subarray(4).toString('utf8') },
        });
        if (challenge) throw new TokenRefused(statusOf(challenge));
      },
    }),
  };
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
