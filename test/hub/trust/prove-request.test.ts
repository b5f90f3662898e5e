import { createHash, createHmac, createPublicKey, sign } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { nonceHeader, proofHeader, signProof } from '../../../shared/request-proof.ts';
import { newKey, publicUrl, type Sent, type TestKey, type TrustScene, trustScene } from './scene.ts';

let hub: TrustScene;
let key: TestKey;
beforeAll(async () => {
  hub = await trustScene();
  key = newKey();
  await hub.enroll(key, (await hub.mint({ region: 'eu-west' })).token);
});
afterAll(() => hub.end());

const path = '/v1/echo/a';
const bodyHashOf = (body: string) => createHash('sha256').update(body).digest('base64url');
const json = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');

describe('the proof of a request', () => {
  test.each([
    ['POST', path, '{"a":1}'],
    ['POST', path, ''],
    ['GET', path, ''],
    ['DELETE', `${path}/%20b/%c3%a4`, ''],
    ['GET', `${path}?x=1&y=%2F`, ''],
  ])('%s %s with the body %j is believed', async (method, at, body) => {
    const { status, nonce } = await hub.signed(key, at, { method, body });
    expect(status).toBe(200);
    expect(nonce).toMatch(/^[A-Za-z0-9_-]{30}$/);
  });

  const changed: [what: string, sent: Sent, code: string][] = [
    ['a moved path', { path: '/v1/echo/b' }, 'proof.invalid'],
    ['a query that was added', { path: `${path}?all=1` }, 'proof.invalid'],
    ['another method', { claims: { htm: 'PUT' } }, 'proof.invalid'],
    ['a method in other letters', { claims: { htm: 'post' } }, 'proof.invalid'],
    ['another body', { body: '{"a":2}', claims: { bh: bodyHashOf('{"a":1}') } }, 'proof.invalid'],
    ['a body where none was', { body: 'x', claims: { bh: bodyHashOf('') } }, 'proof.invalid'],
    ['another hub', { claims: { htu: `https://other.example${path}` } }, 'proof.invalid'],
    ['the address it was reached at', { claims: { htu: `http://127.0.0.1${path}` } }, 'proof.invalid'],
    ['plain http', { claims: { htu: `http://hub.example${path}` } }, 'proof.invalid'],
    ['no nonce', { claims: { nonce: '' } }, 'proof.nonce'],
    ['a nonce that was made up', { claims: { nonce: 'A'.repeat(30) } }, 'proof.nonce'],
    ['no proof', { proof: null }, 'proof.missing'],
    ['a proof that is none', { proof: 'a.b.c' }, 'proof.invalid'],
    ['an endless proof', { proof: 'a'.repeat(5000) }, 'proof.invalid'],
  ];
  test.each(changed)('%s is refused', async (_, sent, code) => {
    const answer = await hub.signed(key, path, sent);
    expect([answer.status, answer.code]).toEqual([401, code]);
    expect(answer.nonce).toMatch(/^[A-Za-z0-9_-]{30}$/);
  });

  test('a request that is repeated is believed for 60 s and not after: the refusal brings the next nonce', async () => {
    const nonce = await hub.nonce();
    const htu = `${publicUrl}${path}`;
    const proof = await signProof(key.privateKey, key.kid, { htm: 'POST', htu, bh: bodyHashOf(''), nonce });
    const replay = () => hub.signed(key, path, { proof });
    expect((await replay()).status).toBe(200);
    hub.later = 59_000;
    expect((await replay()).status).toBe(200);
    hub.later = 60_001;
    const late = await replay();
    expect([late.status, late.code]).toEqual([401, 'proof.nonce']);
    expect((await hub.signed(key, path, { claims: { nonce: late.nonce ?? '' } })).status).toBe(200);
    hub.later = 0;
  });

  test('a nonce from the future is refused, unless the clocks of two replicas explain it', async () => {
    const ahead = (ms: number) => hub.prover && hub.signed(key, path, { claims: { nonce: nonceAt(ms) } });
    const nonceAt = (ms: number) => {
      hub.later = ms;
      const nonce = hub.prover.issueNonce();
      hub.later = 0;
      return nonce;
    };
    expect((await ahead(2000)).status).toBe(200);
    expect((await ahead(10_000)).code).toBe('proof.nonce');
  });

  test('a nonce of one replica holds at another, without a word between them', async () => {
    const other = await trustScene({ beside: hub });
    try {
      expect((await hub.signed(key, path, { claims: { nonce: await other.nonce() } })).status).toBe(200);
    } finally {
      await other.end();
    }
  });

  /** A good proof in all but the header or the signature. */
  async function forged(header: object, sign: (input: string) => Promise<string> | string): Promise<string> {
    const claims = { htm: 'POST', htu: `${publicUrl}${path}`, bh: bodyHashOf(''), nonce: await hub.nonce() };
    const input = `${json(header)}.${json(claims)}`;
    return `${input}.${await sign(input)}`;
  }
  /** Signed as it should be, so that the header alone is at fault. */
  const ownSignature = (header: object, signer = key) =>
    forged({ alg: 'Ed25519', ...header }, (input) =>
      sign(null, Buffer.from(input), signer.privateKey).toString('base64url'),
    );
  const hs256 = (input: string) => {
    // The public key as the secret of an HMAC: in the three forms that verifiers have fallen for.
    const secret = createPublicKey(key.privateKey).export({ format: 'der', type: 'spki' });
    return createHmac('sha256', secret).update(input).digest('base64url');
  };
  const good = () => ({ typ: 'proof+jwt', kid: key.kid });
  const headers: [what: string, make: () => Promise<string>, code: string][] = [
    ['alg none without signature', () => forged({ ...good(), alg: 'none' }, () => ''), 'proof.invalid'],
    ['alg none with a signature', () => ownSignature({ ...good(), alg: 'none' }), 'proof.invalid'],
    ['HS256 with the public key', () => forged({ ...good(), alg: 'HS256' }, hs256), 'proof.invalid'],
    [
      'HS256 padded to the length of Ed25519',
      () => forged({ ...good(), alg: 'HS256' }, (input) => hs256(input).padEnd(86, 'A')),
      'proof.invalid',
    ],
    ['alg EdDSA', () => ownSignature({ ...good(), alg: 'EdDSA' }), 'proof.invalid'],
    ['no alg', () => ownSignature({ ...good(), alg: undefined }), 'proof.invalid'],
    ['the type of a lease', () => ownSignature({ ...good(), typ: 'lease+jwt' }), 'proof.invalid'],
    ['the type JWT', () => ownSignature({ ...good(), typ: 'JWT' }), 'proof.invalid'],
    ['no type', () => ownSignature({ kid: key.kid }), 'proof.invalid'],
    ['no kid', () => ownSignature({ typ: 'proof+jwt' }), 'proof.invalid'],
    ['an unknown kid', () => ownSignature({ ...good(), kid: newKey().kid }), 'probe.unknown'],
    [
      'a key that it brings along',
      () => {
        const own = newKey();
        return ownSignature({ ...good(), jwk: own.jwk }, own);
      },
      'proof.invalid',
    ],
    [
      'a key that it brings along, under its own name',
      () => {
        const own = newKey();
        return ownSignature({ typ: 'proof+jwt', kid: own.kid, jwk: own.jwk }, own);
      },
      'proof.invalid',
    ],
    ['where to fetch a key', () => ownSignature({ ...good(), jku: 'https://evil.example' }), 'proof.invalid'],
    ['a certificate', () => ownSignature({ ...good(), x5c: ['MIIB'] }), 'proof.invalid'],
    ['crit', () => ownSignature({ ...good(), crit: ['x'], x: 1 }), 'proof.invalid'],
    ['b64 false', () => ownSignature({ ...good(), b64: false, crit: ['b64'] }), 'proof.invalid'],
    ['the signature of another key', () => ownSignature(good(), newKey()), 'proof.invalid'],
    [
      'a signature with one bit changed',
      async () => {
        const proof = await ownSignature(good());
        const at = proof.length - 10;
        return proof.slice(0, at) + (proof[at] === 'A' ? 'B' : 'A') + proof.slice(at + 1);
      },
      'proof.invalid',
    ],
  ];
  test.each(headers)('a proof with %s is refused', async (_, make, code) => {
    const answer = await hub.signed(key, path, { proof: await make() });
    expect([answer.status, answer.code]).toEqual([401, code]);
  });

  test('two proofs in one request are none', async () => {
    const nonce = await hub.nonce();
    const claims = { htm: 'GET', htu: `${publicUrl}${path}`, bh: bodyHashOf(''), nonce };
    const proof = await signProof(key.privateKey, key.kid, claims);
    const headers = new Headers([
      [proofHeader, proof],
      [proofHeader, proof],
    ]);
    const response = await hub.fetch(path, { headers });
    expect(response.status).toBe(401);
    expect(response.headers.get(nonceHeader)).not.toBeNull();
  });

  test('keys made up by the thousand do not make the hub look up each', async () => {
    let reads = 0;
    const { refresh } = hub.registry;
    hub.registry.refresh = async (kid) => {
      reads += 1;
      return refresh(kid);
    };
    const began = performance.now();
    const answers = await Promise.all(Array.from({ length: 200 }, () => hub.signed(newKey(), path)));
    hub.registry.refresh = refresh;
    expect(new Set(answers.map(({ code }) => code))).toEqual(new Set(['probe.unknown']));
    const seconds = Math.ceil((performance.now() - began) / 1000) + 1;
    expect(reads).toBeLessThanOrEqual(20 * seconds);
    expect(reads).toBeGreaterThan(0);
  });
});
