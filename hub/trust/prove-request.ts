import type { KeyObject } from 'node:crypto';
import type { ProbeKey } from '../../shared/enrollment.ts';
import { TokenError } from '../../shared/jws.ts';
import {
  bodyHash,
  nonceHeader,
  type ProofClaims,
  proofHeader,
  verifyProof,
} from '../../shared/request-proof.ts';
import { ed25519PublicKey, ed25519Thumbprint } from '../../shared/signing.ts';
import { Problem } from '../problem.ts';
import type { HubKeys } from './keys.ts';
import { createNonces } from './nonce.ts';
import type { RegisteredProbe, Registry } from './registry.ts';

export interface ProverOptions {
  readonly keys: Pick<HubKeys, 'hmac'>;
  readonly registry: Pick<Registry, 'probeByKid' | 'refresh'>;
  /** PARALLAX_PUBLIC_URL: proofs are bound to it, whatever a proxy made of the Host. */
  readonly publicUrl: string;
  /** Epoch microseconds. */
  readonly now: () => number;
}

export interface ProveOptions {
  readonly allowPending?: boolean;
  readonly allowRevoked?: boolean;
}

export interface Prover {
  /**
   * Who signed this request. Throws Problem 401 (`proof.missing`, `proof.invalid`, `proof.nonce`: sign again with the
   * nonce of this answer, `probe.unknown`) or 403 (`probe.pending`, `probe.revoked`).
   */
  prove(request: Request, body: Uint8Array, options?: ProveOptions): Promise<RegisteredProbe>;
  /**
   * The same before a byte of the body is read: `read` is called once it is known who asks, so that whoever proves
   * nothing takes neither memory nor a place.
   */
  proveThenRead(
    request: Request,
    read: (probe: RegisteredProbe) => Promise<Uint8Array>,
    options?: ProveOptions,
  ): Promise<{ readonly probe: RegisteredProbe; readonly body: Uint8Array }>;
  /** That the request is signed by this very key: possession, before there is a probe. Throws Problem 401. */
  proveWithKey(request: Request, body: Uint8Array, key: ProbeKey): Promise<void>;
  /** The next nonce, for the header `Parallax-Nonce` of an answer. */
  issueNonce(): string;
}

const maxProofChars = 4096;
/** A key that is new here may have enrolled at another replica: so many are looked up in a second, whoever makes them up. */
const maxLookups = 20;

export function createProver({ keys, registry, publicUrl, now }: ProverOptions): Prover {
  const nonces = createNonces(keys);
  let lookups = { second: 0, count: 0 };

  async function open(request: Request, keyOf: (kid: string) => KeyObject | undefined) {
    const proof = request.headers.get(proofHeader);
    if (proof === null) throw refused('proof.missing', `the request has no ${proofHeader}`);
    if (proof.length > maxProofChars) throw refused('proof.invalid', 'the proof is too large');
    try {
      return await verifyProof(proof, keyOf);
    } catch (error) {
      if (!(error instanceof TokenError)) throw error;
      if (error.code === 'unknown_key') throw unknownProbe();
      throw refused('proof.invalid', `the proof is not believed: ${error.message}`);
    }
  }

  function compare(claims: ProofClaims, request: Request): void {
    const { pathname, search } = new URL(request.url);
    const url = `${publicUrl}${pathname}${search}`;
    if (claims.htm !== request.method) {
      throw refused(
        'proof.invalid',
        `the proof is for ${claims.htm.slice(0, 20)}, not for ${request.method}`,
      );
    }
    if (claims.htu !== url) {
      throw refused('proof.invalid', `the proof is for ${claims.htu.slice(0, 300)}, and this is ${url}`);
    }
    if (!nonces.nonceHolds(claims.nonce, now() / 1000)) {
      throw refused('proof.nonce', `sign again with the nonce in ${nonceHeader}`);
    }
  }

  function compareBody(claims: ProofClaims, body: Uint8Array): void {
    if (claims.bh !== bodyHash(body)) throw refused('proof.invalid', 'the proof is for another body');
  }

  /** Another replica may have let it in a moment ago. */
  async function openKnown(request: Request) {
    let unknown: string | null = null;
    const keyOf = (kid: string) => {
      const probe = registry.probeByKid(kid);
      if (!probe) unknown = kid;
      return probe?.publicKey;
    };
    try {
      return await open(request, keyOf);
    } catch (error) {
      if (unknown === null || !mayLookUp()) throw error;
    }
    await registry.refresh(unknown);
    return open(request, keyOf);
  }

  function mayLookUp(): boolean {
    const second = Math.floor(now() / 1_000_000);
    if (second !== lookups.second) lookups = { second, count: 0 };
    lookups.count += 1;
    return lookups.count <= maxLookups;
  }

  /** Looked up again each time: what was revoked while we verified, or read, is revoked. */
  function allowed(
    kid: string,
    { allowPending = false, allowRevoked = false }: ProveOptions,
  ): RegisteredProbe {
    const probe = registry.probeByKid(kid);
    if (!probe) throw unknownProbe();
    if (probe.status === 'pending' && !allowPending) {
      throw new Problem(403, 'probe.pending', 'this probe waits for an operator: parallax probes approve');
    }
    if (probe.status === 'revoked' && !allowRevoked) {
      throw new Problem(403, 'probe.revoked', 'this probe was revoked');
    }
    return probe;
  }

  const proveThenRead: Prover['proveThenRead'] = async (request, read, options = {}) => {
    const { kid, claims } = await openKnown(request);
    compare(claims, request);
    const body = await read(allowed(kid, options));
    compareBody(claims, body);
    return { probe: allowed(kid, options), body };
  };

  return {
    proveThenRead,
    async prove(request, body, options) {
      return (await proveThenRead(request, async () => body, options)).probe;
    },
    async proveWithKey(request, body, { x }) {
      const own = ed25519Thumbprint(x);
      const { claims } = await open(request, (kid) => (kid === own ? ed25519PublicKey(x) : undefined));
      compare(claims, request);
      compareBody(claims, body);
    },
    issueNonce: () => nonces.issueNonce(now() / 1000),
  };
}

function unknownProbe(): Problem {
  return refused('probe.unknown', 'no enrolled probe has this key: enroll it');
}

function refused(code: string, detail: string): Problem {
  return new Problem(401, code, detail, { headers: { 'www-authenticate': `Parallax error="${code}"` } });
}
