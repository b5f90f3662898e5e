import type { KeyObject } from 'node:crypto';

/** Who this probe is, once it enrolled. Kept under `--data` (0600). */
export interface Identity {
  readonly probeId: number;
  readonly region: { readonly id: number; readonly name: string };
  /** The hub's public URL: what proofs are bound to. */
  readonly hub: string;
  readonly key: KeyObject;
  /** RFC 7638 thumbprint of the key. */
  readonly kid: string;
}

export interface HubAnswer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Uint8Array;
}

/** Signed requests to the hub: proof, nonce (asked for anew where it has passed), proxy and CA are taken care of. */
export interface HubLink {
  /** Rejects where the hub cannot be reached; every HTTP status is an answer. */
  request(
    method: 'GET' | 'POST',
    path: string,
    options: {
      readonly body?: Uint8Array;
      readonly headers?: Readonly<Record<string, string>>;
      readonly timeoutMs: number;
      readonly signal: AbortSignal;
    },
  ): Promise<HubAnswer>;
}
