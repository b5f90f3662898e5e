import * as z from 'zod';

/** The claims of an enrollment token, JWS `typ: enroll+jwt`. */
export const enrollmentClaimsSchema = z.object({
  /** The hub's public URL. */
  iss: z.url(),
  jti: z.uuid(),
  region: z.string(),
  uses: z.int().positive(),
  /** RFC 7638 thumbprint of the hub's root key: what the probe pins. */
  root: z.string(),
  iat: z.int(),
  exp: z.int(),
});
export type EnrollmentClaims = z.output<typeof enrollmentClaimsSchema>;

/** A probe's public key as JWK, Ed25519 only. */
export const probeKeySchema = z.strictObject({
  kty: z.literal('OKP'),
  crv: z.literal('Ed25519'),
  x: z.string().regex(/^[A-Za-z0-9_-]{43}$/),
});
export type ProbeKey = z.output<typeof probeKeySchema>;

/** POST /v1/enroll. Possession is proven by the request proof, signed with this very key. */
export const enrollRequestSchema = z.strictObject({
  token: z.string().max(4096),
  key: probeKeySchema,
  name: z.string().min(1).max(100),
  version: z.string().max(64),
  runtime: z.string().max(64),
});
export type EnrollRequest = z.output<typeof enrollRequestSchema>;

export const enrollAnswerSchema = z.object({
  probeId: z.int().positive(),
  region: z.object({ id: z.int().positive(), name: z.string() }),
  status: z.enum(['pending', 'active']),
});
export type EnrollAnswer = z.output<typeof enrollAnswerSchema>;

/**
 * GET /.well-known/parallax-keyset.json: the newest key set, signed by the root, and the chain of root
 * rotations (each signed by the old and the new root) that leads from an older pinned root to today's.
 */
export const keySetDocumentSchema = z.object({
  /** Compact JWS `typ: keyset+jwt` by the current root over keySetClaims. */
  keyset: z.string(),
  /** Oldest first; each a general JSON JWS `typ: root-rotation+jwt` with two signatures. */
  chain: z.array(
    z.object({
      payload: z.string(),
      signatures: z.array(z.object({ protected: z.string(), signature: z.string() })).length(2),
    }),
  ),
});
export type KeySetDocument = z.output<typeof keySetDocumentSchema>;

const publicJwk = z.looseObject({
  kty: z.string(),
  kid: z.string(),
  alg: z.string(),
  crv: z.string(),
  x: z.string(),
});

export const keySetClaimsSchema = z.object({
  iss: z.url(),
  /** Public key of the root that signed this, as JWK. */
  root: publicJwk,
  version: z.int().positive(),
  iat: z.int(),
  /** Ed25519 keys for enrollments and leases, the one that signs now first. */
  keys: z.array(publicJwk).min(1),
});
export type KeySetClaims = z.output<typeof keySetClaimsSchema>;

export const rootRotationClaimsSchema = z.object({ from: publicJwk, to: publicJwk, iat: z.int() });
