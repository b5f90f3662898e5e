import type { EndpointDocument } from '../../shared/endpoint.ts';

/** A row of `endpoints` as it stands: believed only where its HMAC holds (hub/trust/endpoint-rows.ts). */
export interface EndpointRow {
  readonly id: number;
  readonly name: string;
  readonly rev: number;
  /** With defaults, durations as text, `<sealed>` in place of what `sealed` holds. */
  readonly spec: EndpointDocument;
  readonly sealed: Readonly<Record<string, string>>;
  readonly source: string;
  /** Epoch microseconds; grows in the order of commits, as writers wait for one another. */
  readonly changedAtUs: number;
  readonly deleted: boolean;
  readonly mac: Buffer;
}

export const endpointColumns = `id, name, rev, spec, sealed, source,
  (extract(epoch from changed_at) * 1000000)::int8 as "changedAtUs", deleted_at is not null as deleted, mac`;
