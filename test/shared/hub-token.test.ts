import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { makeEd25519Jwk, signingKeyOf } from '../../hub/trust/key-pair.ts';
import { signHubToken, verifyHubToken } from '../../shared/hub-token.ts';
import { signJws, TokenError } from '../../shared/jws.ts';

const [key, rotated, stranger] = [makeEd25519Jwk(), makeEd25519Jwk(), makeEd25519Jwk()].map(signingKeyOf) as [
  ReturnType<typeof signingKeyOf>,
  ReturnType<typeof signingKeyOf>,
  ReturnType<typeof signingKeyOf>,
];
const issuer = 'https://hub.example';
const revoked = { iss: issuer, aud: '7', iat: 1, reason: 'sold' };
const expected = { typ: 'revoked+jwt', issuer, audience: '7' } as const;

const codeOf = (jws: string, over: Partial<typeof expected> = {}) =>
  verifyHubToken(jws, [key, rotated], { ...expected, ...over }).then(
    () => null,
    (error: unknown) => {
      if (error instanceof TokenError) return error.code;
      throw error;
    },
  );

describe('a token of the hub', () => {
  test.each([
    ['the key that signs', key],
    ['a key that was rotated', rotated],
  ])('by %s is believed', async (_, by) => {
    const jws = await signHubToken('revoked+jwt', revoked, by);
    expect(await verifyHubToken(jws, [key, rotated], expected)).toEqual(revoked);
  });

  test('is refused for another probe, of another hub, of another type, by another key', async () => {
    const sign = (claims: object, by = key) => signJws('revoked+jwt', claims, by);
    expect(await codeOf(await sign({ ...revoked, aud: '8' }))).toBe('audience');
    expect(await codeOf(await sign({ ...revoked, aud: 7 }))).toBe('claims');
    expect(await codeOf(await sign({ ...revoked, aud: ['7'] }))).toBe('claims');
    expect(await codeOf(await sign({ ...revoked, iss: 'https://hub.example.evil' }))).toBe('issuer');
    expect(await codeOf(await sign(revoked, stranger))).toBe('unknown_key');
    expect(await codeOf(await sign(revoked, { ...stranger, kid: key.kid }))).toBe('signature');
    expect(await codeOf(await signJws('lease+jwt', revoked, key))).toBe('header');
    expect(await codeOf(await sign({}))).toBe('claims');
    expect(await codeOf(await sign([]))).toBe('claims');
  });

  test('that has an audience is refused where none is expected', async () => {
    const jws = await signHubToken('revoked+jwt', revoked, key);
    await expect(verifyHubToken(jws, [key], { typ: 'revoked+jwt', issuer })).rejects.toMatchObject({
      code: 'audience',
    });
  });

  test('with any one character changed, cut or added is refused or says the same', async () => {
    const jws = await signHubToken('revoked+jwt', revoked, key);
    const letter = fc.constantFrom(...'ABCDEFabcdef0189-_.=');
    await fc.assert(
      fc.asyncProperty(fc.nat(jws.length), fc.nat(2), letter, async (at, cut, put) => {
        const changed =
          jws.slice(0, at) + put.repeat(cut === 2 ? 0 : 1) + jws.slice(at + (cut === 0 ? 0 : 1));
        const told = await verifyHubToken(changed, [key, rotated], expected).catch((error: unknown) => {
          expect(error).toBeInstanceOf(TokenError);
          return null;
        });
        if (told) expect(told).toEqual(revoked);
      }),
      { numRuns: 500 },
    );
  });

  test.each(['', '.', '..', 'a.b', 'a.b.c.d', `${'a'.repeat(300_000)}.b.${'c'.repeat(86)}`])(
    'is refused where it is none',
    async (jws) => {
      expect(await codeOf(jws)).toBe('malformed');
    },
  );
});
