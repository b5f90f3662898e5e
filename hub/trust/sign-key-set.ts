import { decodeJwt } from 'jose';
import {
  type KeySetClaims,
  type KeySetDocument,
  keySetClaimsSchema,
  type RootRotation,
  type RootRotationClaims,
  rootRotationClaimsSchema,
} from '../../shared/enrollment.ts';
import { signJws } from '../../shared/jws.ts';
import { keySetType, rootRotationType } from '../../shared/key-set.ts';
import { publicJwkOf } from './key-pair.ts';
import type { SigningKey } from './keys.ts';

export interface KeySetContent {
  readonly publicUrl: string;
  readonly root: SigningKey;
  readonly leaseKeys: readonly SigningKey[];
  readonly chain: readonly RootRotation[];
  /** Of the key set before; 0 for the first. */
  readonly previousVersion: number;
  readonly nowMs: number;
}

/** The version moves forward even where the keys came back from a backup: max(previous + 1, now in ms). */
export async function signKeySet(content: KeySetContent): Promise<KeySetDocument> {
  const { publicUrl, root, leaseKeys, chain, previousVersion, nowMs } = content;
  const claims = {
    iss: publicUrl,
    root: rootJwkOf(root),
    version: Math.max(previousVersion + 1, nowMs),
    iat: Math.floor(nowMs / 1000),
    keys: leaseKeys.map(({ kid, publicKey }) => ({
      ...publicJwkOf(publicKey),
      kid,
      alg: 'Ed25519',
      use: 'sig',
    })),
  };
  return { keyset: await signJws(keySetType, claims, root), chain: [...chain] };
}

/** A link of the chain: one text, signed by both roots. */
export async function signRootRotation(
  from: SigningKey,
  to: SigningKey,
  nowMs: number,
): Promise<RootRotation> {
  const claims: RootRotationClaims = {
    from: rootJwkOf(from),
    to: rootJwkOf(to),
    iat: Math.floor(nowMs / 1000),
  };
  const [byOld, byNew] = await Promise.all([
    signJws(rootRotationType, claims, from),
    signJws(rootRotationType, claims, to),
  ]);
  const [protectedByOld = '', payload = '', signatureByOld = ''] = byOld.split('.');
  const [protectedByNew = '', , signatureByNew = ''] = byNew.split('.');
  return {
    payload,
    signatures: [
      { protected: protectedByOld, signature: signatureByOld },
      { protected: protectedByNew, signature: signatureByNew },
    ],
  };
}

function rootJwkOf({ publicKey }: SigningKey): RootRotationClaims['from'] {
  return { kty: 'OKP', crv: 'Ed25519', x: publicJwkOf(publicKey).x ?? '' };
}

/** What a key set says, unverified: for the hub's own. */
export function readKeySetClaims({ keyset }: KeySetDocument): KeySetClaims {
  return keySetClaimsSchema.parse(decodeJwt(keyset));
}

export function readRotationClaims({ payload }: RootRotation): RootRotationClaims {
  return rootRotationClaimsSchema.parse(JSON.parse(Buffer.from(payload, 'base64url').toString('utf8')));
}
