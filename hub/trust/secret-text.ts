import { createHash, randomBytes } from 'node:crypto';

/** 256 random bits as base64url, 43 characters: what a token, a sign-in link or a session is made of. */
export function newSecret(): string {
  return randomBytes(32).toString('base64url');
}

export function isSecret(text: string): boolean {
  return /^[A-Za-z0-9_-]{43}$/.test(text);
}

/**
 * SHA-256, as it is kept: who reads the database holds nothing. A slow hash would add nothing to 256 random bits, and
 * looking up by hash tells a guesser's clock nothing of the secret.
 */
export function hashOf(secret: string): Buffer {
  return createHash('sha256').update(secret).digest();
}
