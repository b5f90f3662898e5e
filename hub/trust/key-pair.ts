import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
} from 'node:crypto';
import * as z from 'zod';
import type { SigningKey } from './keys.ts';

const field = z.string().regex(/^[A-Za-z0-9_-]{43}$/);

export const ed25519JwkSchema = z.strictObject({
  kty: z.literal('OKP'),
  crv: z.literal('Ed25519'),
  x: field,
  d: field,
});
export type Ed25519Jwk = z.output<typeof ed25519JwkSchema>;

export const es256JwkSchema = z.strictObject({
  kty: z.literal('EC'),
  crv: z.literal('P-256'),
  x: field,
  y: field,
  d: field,
});
export type Es256Jwk = z.output<typeof es256JwkSchema>;

export function makeEd25519Jwk(): Ed25519Jwk {
  return ed25519JwkSchema.parse(generateKeyPairSync('ed25519').privateKey.export({ format: 'jwk' }));
}

export function makeEs256Jwk(): Es256Jwk {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return es256JwkSchema.parse(privateKey.export({ format: 'jwk' }));
}

/** Throws where the private part is not the public part's. */
export function signingKeyOf(jwk: Ed25519Jwk | Es256Jwk): SigningKey {
  const privateKey = createPrivateKey({ key: jwk, format: 'jwk' });
  // From the private part alone: what stands beside it in the file is only compared.
  const der = privateKey.export({ format: 'der', type: 'pkcs8' });
  const publicKey = createPublicKey(createPrivateKey({ key: der, format: 'der', type: 'pkcs8' }));
  if (publicKey.export({ format: 'jwk' }).x !== jwk.x) throw new Error('the two halves of a key do not fit');
  return { kid: thumbprintOf(publicKey), privateKey, publicKey };
}

/** Members in the order that RFC 7638 hashes them in. */
export function publicJwkOf(publicKey: KeyObject): Readonly<Record<string, string>> {
  const { crv = '', kty = '', x = '', y } = publicKey.export({ format: 'jwk' });
  return { crv, kty, x, ...(y === undefined ? {} : { y }) };
}

/** RFC 7638, base64url. */
export function thumbprintOf(publicKey: KeyObject): string {
  return createHash('sha256')
    .update(JSON.stringify(publicJwkOf(publicKey)))
    .digest('base64url');
}
