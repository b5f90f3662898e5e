import * as z from 'zod';

/** The claims of an enrollment token, JWS `typ: enroll+jwt`. */
export const enrollmentClaimsSchema = z.object({
  /** The hub's public URL. */
  iss: z.url(),
  jti: z.uuid(),
  region: z.string(),
  uses: z.int().positive(),
  /** A probe that comes in by it stays idle until an operator approves it. Signed, so that no database can take it back. */
  approve: z.boolean().default(false),
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

export const enrollPath = '/v1/enroll';

/** A probe's own name, as people read it: nothing in it that does not show. */
export const probeNameSchema = z
  .string()
  .min(1)
  .max(100)
  .regex(/^[^\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]+$/u, 'a name holds no control characters');

/** POST /v1/enroll. Possession is proven by the request proof, signed with this very key. */
export const enrollRequestSchema = z.strictObject({
  token: z.string().max(4096),
  key: probeKeySchema,
  name: probeNameSchema,
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

const rootRotationSchema = z.object({
  /** base64url of rootRotationClaims. */
  payload: z.string().max(4096),
  /** By the old root, then by the new. */
  signatures: z.tuple([signatureSchema(), signatureSchema()]),
});
/** A general JSON JWS `typ: root-rotation+jwt`. */
export type RootRotation = z.output<typeof rootRotationSchema>;

function signatureSchema() {
  return z.object({ protected: z.string().max(1024), signature: z.string().max(128) });
}

/** A probe that pinned a root so many rotations ago enrolls anew. */
export const maxChainLinks = 1000;

/**
 * GET /.well-known/parallax-keyset.json: the newest key set, signed by the root, and the chain of root
 * rotations (each signed by the old and the new root) that leads from an older pinned root to today's.
 */
export const keySetDocumentSchema = z.object({
  /** Compact JWS `typ: keyset+jwt` by the current root over keySetClaims. */
  keyset: z.string().max(65_536),
  /** Oldest first. */
  chain: z.array(rootRotationSchema).max(maxChainLinks),
});
export type KeySetDocument = z.output<typeof keySetDocumentSchema>;

const rootJwk = z.looseObject({
  kty: z.literal('OKP'),
  crv: z.literal('Ed25519'),
  x: z.string().regex(/^[A-Za-z0-9_-]{43}$/),
});

/** Loose: a newer hub may add keys of other kinds. */
const publicJwk = z.looseObject({
  kty: z.string(),
  kid: z.string(),
  alg: z.string(),
  crv: z.string().optional(),
  x: z.string().optional(),
});

export const keySetClaimsSchema = z.object({
  iss: z.url(),
  /** Public key of the root that signed this, as JWK. */
  root: rootJwk,
  version: z.int().positive(),
  iat: z.int(),
  /** Ed25519 keys for enrollments and leases, the one that signs now first. */
  keys: z.array(publicJwk).min(1).max(1000),
});
export type KeySetClaims = z.output<typeof keySetClaimsSchema>;

export const rootRotationClaimsSchema = z.object({ from: rootJwk, to: rootJwk, iat: z.int() });
export type RootRotationClaims = z.output<typeof rootRotationClaimsSchema>;
