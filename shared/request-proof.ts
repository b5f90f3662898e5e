import { createHash, type KeyObject } from 'node:crypto';
import * as z from 'zod';
import { signJws, TokenError, verifyJws } from './jws.ts';

/**
 * Every probe request is signed: a JWS over method, URL, body hash and the hub's nonce, shaped after DPoP (RFC 9449)
 * but with the key known by enrollment, never embedded. It travels in the header `Parallax-Proof`; each answer of the
 * hub brings the next nonce in `Parallax-Nonce`.
 */
export const proofHeader = 'parallax-proof';
export const nonceHeader = 'parallax-nonce';
export const proofType = 'proof+jwt';

export const proofClaimsSchema = z.object({
  htm: z.string(),
  /** Absolute URL on the hub's public URL, with its query (RFC 9449 leaves it out; here nothing is left to change). */
  htu: z.string(),
  /** base64url SHA-256 of the body bytes ('' hashes like an empty body). */
  bh: z.string(),
  nonce: z.string(),
});
export type ProofClaims = z.output<typeof proofClaimsSchema>;

export function bodyHash(body: Uint8Array): string {
  return createHash('sha256').update(body).digest('base64url');
}

/** `kid`: the RFC 7638 thumbprint of the probe's key. */
export async function signProof(key: KeyObject, kid: string, claims: ProofClaims): Promise<string> {
  return signJws(proofType, claims, { kid, privateKey: key });
}

/** What the holder of a key signed; whether it is about this request is the caller's to compare. Throws TokenError. */
export async function verifyProof(
  proof: string,
  keyOf: (kid: string) => KeyObject | undefined,
): Promise<{ readonly kid: string; readonly claims: ProofClaims }> {
  const { kid, payload } = await verifyJws(proof, proofType, keyOf);
  const parsed = proofClaimsSchema.safeParse(payload);
  if (!parsed.success) throw new TokenError('claims', 'the proof does not say what it is for');
  return { kid, claims: parsed.data };
}
