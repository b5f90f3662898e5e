import type { KeyObject } from 'node:crypto';

/** A probe as the hub trusts it: from a row whose HMAC held. */
export interface RegisteredProbe {
  readonly id: number;
  readonly name: string;
  readonly regionId: number;
  /** RFC 7638 thumbprint of its key. */
  readonly kid: string;
  readonly publicKey: KeyObject;
  readonly status: 'pending' | 'active' | 'revoked';
}

export interface Region {
  readonly id: number;
  readonly name: string;
}

/** Who is who, kept in memory by each replica and refreshed when anybody changes it. Synchronous: ingest asks per batch. */
export interface Registry {
  probeByKid(kid: string): RegisteredProbe | undefined;
  probeById(id: number): RegisteredProbe | undefined;
  regionById(id: number): Region | undefined;
  regions(): readonly Region[];
  /** The regions an endpoint is (or lately was, as long as raw results are kept) checked from; undefined for an unknown endpoint. */
  regionsOfEndpoint(endpointId: number): ReadonlySet<number> | undefined;
  /** Reads everything again now; with a key's thumbprint the probe that has it alone, if there is one. */
  refresh(kid?: string): Promise<void>;
  stop(): void;
}
