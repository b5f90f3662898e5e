export type ProbeStatus = 'pending' | 'active' | 'revoked';

/** What decides about a probe, and the HMAC over it. Nothing here is trusted before that was checked. */
export interface ProbeRow {
  readonly id: number;
  readonly name: string;
  readonly regionId: number;
  readonly region: string;
  /** The 'x' of its JWK. */
  readonly publicKey: string;
  readonly thumbprint: string;
  readonly status: ProbeStatus;
  /** The jti of the token it came with. */
  readonly enrollment: string;
  readonly mac: Uint8Array;
}

/** With `p` for probes and `r` for their regions. */
export const probeColumns = `p.id, p.name, p.region_id as "regionId", r.name as region, p.public_key as "publicKey",
  p.thumbprint, p.status, p.enrollment, p.mac`;
