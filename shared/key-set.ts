import type { KeyObject } from 'node:crypto';
import {
  type KeySetClaims,
  type KeySetDocument,
  keySetClaimsSchema,
  keySetDocumentSchema,
  type RootRotation,
  rootRotationClaimsSchema,
} from './enrollment.ts';
import { TokenError, type TrustedKey, verifyJws } from './jws.ts';
import { ed25519PublicKey, ed25519Thumbprint } from './signing.ts';

export const keySetPath = '/.well-known/parallax-keyset.json';
export const keySetType = 'keyset+jwt';
export const rootRotationType = 'root-rotation+jwt';

export interface TrustedKeySet {
  /** The hub's public URL. */
  readonly issuer: string;
  /** Only ever grows. */
  readonly version: number;
  /** Thumbprint of today's root: to be pinned from now on, so that no older root can mislead again. */
  readonly root: string;
  /** For enrollments, leases and revocations; the one that signs now first. */
  readonly keys: readonly TrustedKey[];
}

export interface KeySetLimits {
  /** The least version that is taken: that of the last key set seen, so that an older one is not served again. */
  readonly leastVersion?: number;
  /** The hub's public URL, where it is known. */
  readonly issuer?: string;
}

/**
 * Walks the chain of roots from the pinned one to the one that signed the key set. Each link must be signed by the old
 * and by the new root. Throws TokenError (`claims`, `signature`, `chain`, `version`, `issuer`).
 */
export async function verifyKeySet(
  document: unknown,
  pinnedRoot: string,
  { leastVersion = 1, issuer }: KeySetLimits = {},
): Promise<TrustedKeySet> {
  const { keyset, chain } = parseDocument(document);
  let root = pinnedRoot;
  for (const link of chain) root = (await followLink(link, root)) ?? root;
  const claims = await openKeySet(keyset, root);
  if (issuer !== undefined && claims.iss !== issuer) {
    throw new TokenError('issuer', `the key set is of ${claims.iss}, not of ${issuer}`);
  }
  if (claims.version < leastVersion) {
    throw new TokenError(
      'version',
      `key set ${claims.version} is older than ${leastVersion}, which was seen before`,
    );
  }
  return { issuer: claims.iss, version: claims.version, root, keys: trustedKeys(claims) };
}

function parseDocument(document: unknown): KeySetDocument {
  const parsed = keySetDocumentSchema.safeParse(document);
  if (!parsed.success) throw new TokenError('claims', 'this is not a key set document');
  return parsed.data;
}

/** Null for a link that does not begin at this root: it is older than the pin, or no part of this chain. */
async function followLink(
  { payload, signatures: [byOld, byNew] }: RootRotation,
  from: string,
): Promise<string | null> {
  const parsed = rootRotationClaimsSchema.safeParse(peek(payload));
  if (!parsed.success) throw new TokenError('chain', 'a link of the chain of roots is not readable');
  const { from: old, to: next } = parsed.data;
  if (ed25519Thumbprint(old.x) !== from) return null;
  try {
    await verifyJws(`${byOld.protected}.${payload}.${byOld.signature}`, rootRotationType, onlyKey(old.x));
    await verifyJws(`${byNew.protected}.${payload}.${byNew.signature}`, rootRotationType, onlyKey(next.x));
  } catch (error) {
    throw new TokenError('chain', 'a link of the chain of roots is not signed by both roots', {
      cause: error,
    });
  }
  return ed25519Thumbprint(next.x);
}

function onlyKey(x: string): (kid: string) => KeyObject | undefined {
  return (kid) => (kid === ed25519Thumbprint(x) ? ed25519PublicKey(x) : undefined);
}

function peek(payload: string): unknown {
  try {
    return JSON.parse(Buffer.from(payload, 'base64url').toString('utf8'));
  } catch {
    return null;
  }
}

async function openKeySet(keyset: string, root: string): Promise<KeySetClaims> {
  // The root stands in the very text it signs: believed only where its thumbprint is the one the chain led to.
  const told = keySetClaimsSchema.safeParse(peek(keyset.split('.')[1] ?? ''));
  if (!told.success) throw new TokenError('claims', 'the key set is not readable');
  const { x } = told.data.root;
  if (ed25519Thumbprint(x) !== root) {
    throw new TokenError(
      'chain',
      `the key set is signed by the root ${ed25519Thumbprint(x)}, and no chain leads there from ${root}`,
    );
  }
  const { payload } = await verifyJws(keyset, keySetType, onlyKey(x));
  return keySetClaimsSchema.parse(payload);
}

/** Keys of kinds that are not known here are for newer probes. */
function trustedKeys({ keys }: KeySetClaims): TrustedKey[] {
  const trusted = keys.flatMap(({ kty, crv, alg, kid, x = '' }) =>
    kty === 'OKP' && crv === 'Ed25519' && alg === 'Ed25519' && x.length === 43 && kid === ed25519Thumbprint(x)
      ? [{ kid, publicKey: ed25519PublicKey(x) }]
      : [],
  );
  if (trusted.length === 0) throw new TokenError('claims', 'the key set holds no Ed25519 key');
  return trusted;
}
