import type { KeyObject } from 'node:crypto';
import type * as z from 'zod';
import { enrollmentClaimsSchema } from './enrollment.ts';
import { signJws, TokenError, type TrustedKey, verifyJws } from './jws.ts';
import { leaseClaimsSchema, revokedClaimsSchema } from './lease.ts';

/** What the hub signs with its lease key, by the JWS's `typ`: none is ever taken for another. */
const claimsSchemas = {
  'lease+jwt': leaseClaimsSchema,
  'revoked+jwt': revokedClaimsSchema,
  'enroll+jwt': enrollmentClaimsSchema,
} as const;
export type HubTokenType = keyof typeof claimsSchemas;
export type HubTokenClaims<Type extends HubTokenType> = z.output<(typeof claimsSchemas)[Type]>;

export interface ExpectedToken<Type extends HubTokenType> {
  readonly typ: Type;
  /** The hub's public URL. */
  readonly issuer: string;
  /** The probe's id, in decimal; a token without audience (an enrollment) has none. */
  readonly audience?: string;
}

export async function signHubToken<Type extends HubTokenType>(
  typ: Type,
  claims: HubTokenClaims<Type>,
  key: { readonly kid: string; readonly privateKey: KeyObject },
): Promise<string> {
  return signJws(typ, claims, key);
}

/**
 * The claims of a token that one of these keys signed. Times and versions are the caller's to judge: a spent and
 * expired enrollment still answers the probe it let in, and a lease's `exp` is watched on two clocks.
 * Throws TokenError; `unknown_key` is worth one look at the newest key set.
 */
export async function verifyHubToken<Type extends HubTokenType>(
  jws: string,
  keys: readonly TrustedKey[],
  { typ, issuer, audience }: ExpectedToken<Type>,
): Promise<HubTokenClaims<Type>> {
  const { payload } = await verifyJws(jws, typ, (kid) => keys.find((key) => key.kid === kid)?.publicKey);
  const parsed = claimsSchemas[typ].safeParse(payload);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw new TokenError('claims', `${issue?.path.join('.')}: ${issue?.message}`);
  }
  const claims = parsed.data as HubTokenClaims<Type> & { readonly iss: string; readonly aud?: string };
  if (claims.iss !== issuer)
    throw new TokenError('issuer', `this was issued by ${claims.iss}, not by ${issuer}`);
  if (claims.aud !== audience) throw new TokenError('audience', 'this is for another probe');
  return claims;
}
