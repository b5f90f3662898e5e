import { createHmac, randomBytes } from 'node:crypto';
import { subkey } from './subkey.ts';

/** 256 random bits as base64url, 43 characters: what a token, a sign-in link or a session is made of. */
export function newSecret(): string {
  return randomBytes(32).toString('base64url');
}

export function isSecret(text: string): boolean {
  return /^[A-Za-z0-9_-]{43}$/.test(text);
}

/**
 * HMAC-SHA256 under a key of the hub's, as it is kept: who reads the database holds nothing, and who can only write to
 * it cannot put a secret of his own there. A slow hash would add nothing to 256 random bits, and looking up by hash
 * tells a guesser's clock nothing of the secret.
 */
export function hashOf(hmac: Uint8Array, secret: string): Buffer {
  return createHmac('sha256', subkey(hmac, 'operator')).update(secret).digest();
}
