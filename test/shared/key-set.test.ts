import { sign } from 'node:crypto';
import fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';
import { makeEd25519Jwk, signingKeyOf } from '../../hub/trust/key-pair.ts';
import type { SigningKey } from '../../hub/trust/keys.ts';
import { type KeySetContent, signKeySet, signRootRotation } from '../../hub/trust/sign-key-set.ts';
import type { KeySetDocument, RootRotation } from '../../shared/enrollment.ts';
import { signJws, TokenError } from '../../shared/jws.ts';
import { keySetType, rootRotationType, verifyKeySet } from '../../shared/key-set.ts';
import { ed25519Thumbprint } from '../../shared/signing.ts';

const newKey = () => signingKeyOf(makeEd25519Jwk());
const [a, b, c, evil, lease, older] = [newKey(), newKey(), newKey(), newKey(), newKey(), newKey()];
const publicUrl = 'https://hub.example';

const keySet = (root: SigningKey, chain: readonly RootRotation[], over: Partial<KeySetContent> = {}) =>
  signKeySet({ publicUrl, root, chain, leaseKeys: [lease, older], previousVersion: 6, nowMs: 1, ...over });

let ab: RootRotation;
let bc: RootRotation;
let document: KeySetDocument;
beforeAll(async () => {
  [ab, bc] = await Promise.all([signRootRotation(a, b, 1), signRootRotation(b, c, 2)]);
  document = await keySet(c, [ab, bc]);
});

const codeOf = (document: unknown, pin: string, leastVersion?: number) =>
  verifyKeySet(document, pin, leastVersion === undefined ? {} : { leastVersion }).then(
    () => null,
    (error: unknown) => {
      if (error instanceof TokenError) return error.code;
      throw error;
    },
  );

/** A link whose two signatures are by these keys, whatever roots it names. */
async function link(from: SigningKey, to: SigningKey, by: readonly [SigningKey, SigningKey]) {
  const { payload, signatures } = await signRootRotation(from, to, 1);
  const resigned = signatures.map(({ protected: head }, index) => {
    const header = Buffer.from(JSON.stringify({ ...JSON.parse(Buffer.from(head, 'base64url').toString()) }));
    const input = `${header.toString('base64url')}.${payload}`;
    const key = by[index]?.privateKey ?? evil.privateKey;
    return {
      protected: header.toString('base64url'),
      signature: sign(null, Buffer.from(input), key).toString('base64url'),
    };
  });
  return { payload, signatures: resigned } as unknown as RootRotation;
}

describe('a key set', () => {
  test.each([
    ['two roots ago', () => a],
    ['one root ago', () => b],
    ['today', () => c],
  ])('is believed by a probe that pinned the root of %s, which then pins today’s', async (_, pin) => {
    const trusted = await verifyKeySet(document, pin().kid, { issuer: publicUrl });
    expect(trusted).toMatchObject({ issuer: publicUrl, version: 7, root: c.kid });
    expect(trusted.keys.map(({ kid }) => kid)).toEqual([lease.kid, older.kid]);
    expect(trusted.keys[0]?.publicKey.equals(lease.publicKey)).toBe(true);
  });

  test('is refused under another pin, without its chain, and with a chain that was cut', async () => {
    expect(await codeOf(document, evil.kid)).toBe('chain');
    expect(await codeOf({ ...document, chain: [] }, a.kid)).toBe('chain');
    expect(await codeOf({ ...document, chain: [ab] }, a.kid)).toBe('chain');
    expect(await codeOf({ ...document, chain: [bc] }, a.kid)).toBe('chain');
    expect(await codeOf({ ...document, chain: [bc, ab] }, a.kid)).toBe('chain');
    expect(await codeOf({ ...document, chain: [bc] }, b.kid)).toBeNull();
  });

  test('is refused where a link is forged', async () => {
    const forgeries = [
      await link(a, evil, [evil, evil]),
      await link(a, evil, [a, a]),
      await link(a, evil, [evil, a]),
      { ...ab, payload: (await signRootRotation(a, evil, 1)).payload },
      { ...ab, signatures: [ab.signatures[1], ab.signatures[0]] },
    ];
    const own = await keySet(evil, []);
    for (const forged of forgeries) {
      expect(await codeOf({ ...own, chain: [forged] }, a.kid)).toBe('chain');
    }
    // The old root alone cannot hand over to a key that it does not hold.
    expect(await codeOf({ ...document, chain: [await link(a, b, [a, evil]), bc] }, a.kid)).toBe('chain');
  });

  test('signed by a root of the past is refused by whoever went on from it', async () => {
    const fork = await signRootRotation(a, evil, 9);
    expect(await codeOf(await keySet(evil, [fork], { previousVersion: 100 }), c.kid)).toBe('chain');
    expect(await codeOf(await keySet(a, []), c.kid)).toBe('chain');
    expect(await codeOf(await keySet(a, [ab, bc]), c.kid)).toBe('chain');
  });

  test('older than one that was seen is refused', async () => {
    expect(await codeOf(document, c.kid, 7)).toBeNull();
    expect(await codeOf(document, c.kid, 8)).toBe('version');
  });

  test('of another hub, of another type or with a changed byte is refused', async () => {
    await expect(verifyKeySet(document, c.kid, { issuer: 'https://other.example' })).rejects.toMatchObject({
      code: 'issuer',
    });
    const [, payload = ''] = document.keyset.split('.');
    const claims = JSON.parse(Buffer.from(payload, 'base64url').toString()) as object;
    expect(await codeOf({ ...document, keyset: await signJws(keySetType, claims, c) }, c.kid)).toBeNull();
    expect(await codeOf({ ...document, keyset: await signJws('lease+jwt', claims, c) }, c.kid)).toBe(
      'header',
    );
    expect(await codeOf({ ...document, keyset: await signJws(rootRotationType, claims, c) }, c.kid)).toBe(
      'header',
    );
    // It names the right root and is signed by another.
    expect(await codeOf({ ...document, keyset: await signJws(keySetType, claims, evil) }, c.kid)).toBe(
      'unknown_key',
    );
    const named = { kid: c.kid, privateKey: evil.privateKey };
    expect(await codeOf({ ...document, keyset: await signJws(keySetType, claims, named) }, c.kid)).toBe(
      'signature',
    );
    for (const odd of [null, 'x', [], {}, { keyset: 1, chain: [] }, { keyset: 'a.b.c', chain: [] }]) {
      expect(await codeOf(odd, c.kid)).toBe('claims');
    }
  });

  test('with any one character changed is refused or means the same', async () => {
    const whole = await verifyKeySet(document, a.kid);
    const text = JSON.stringify(document);
    await fc.assert(
      fc.asyncProperty(fc.nat(text.length - 1), fc.constantFrom(...'AZaz09-_"{'), async (at, put) => {
        const changed = text.slice(0, at) + put + text.slice(at + 1);
        let parsed: unknown;
        try {
          parsed = JSON.parse(changed);
        } catch {
          return;
        }
        const told = await verifyKeySet(parsed, a.kid).catch((error: unknown) => {
          expect(error).toBeInstanceOf(TokenError);
          return null;
        });
        if (told) expect(told.keys.map(({ kid }) => kid)).toEqual(whole.keys.map(({ kid }) => kid));
      }),
      { numRuns: 300 },
    );
  });

  test('keys of kinds that are not known are passed over; one that lies about its name is too', async () => {
    const [, payload = ''] = document.keyset.split('.');
    const claims = JSON.parse(Buffer.from(payload, 'base64url').toString()) as { keys: object[] };
    const keys = [
      { kty: 'AKP', kid: 'x', alg: 'ML-DSA-44', pub: 'AA' },
      { ...claims.keys[0], kid: evil.kid },
      { kty: 'OKP', crv: 'Ed25519', alg: 'Ed25519', x: 'AAAA', kid: ed25519Thumbprint('AAAA') },
      claims.keys[1],
    ];
    const keyset = await signJws(keySetType, { ...claims, keys }, c);
    const trusted = await verifyKeySet({ ...document, keyset }, c.kid);
    expect(trusted.keys.map(({ kid }) => kid)).toEqual([older.kid]);
    const none = await signJws(keySetType, { ...claims, keys: keys.slice(0, 3) }, c);
    expect(await codeOf({ ...document, keyset: none }, c.kid)).toBe('claims');
  });
});
