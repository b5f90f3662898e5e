import type { Endpoint } from '../../shared/endpoint.ts';

/** An endpoint from a row whose HMAC held. Sealed values stand as `<sealed>`. */
export interface TrustedEndpoint {
  readonly id: number;
  readonly rev: number;
  readonly endpoint: Endpoint;
  /** Epoch microseconds of the change that made this rev. */
  readonly changedAtUs: number;
  readonly deleted: boolean;
}

/** The endpoints, kept in memory by each replica and read again (only what changed) when anybody changes one. */
export interface Catalog {
  /** Those that are not deleted. */
  all(): Iterable<TrustedEndpoint>;
  byId(id: number): TrustedEndpoint | undefined;
  /** With its sealed values in clear, for the shard document alone. `${probe:NAME}` stays as it is. */
  reveal(id: number): Endpoint | undefined;
  /** The names of regions it is, or while raw results are kept was, checked from; 'all' where it names none. Undefined if never known. */
  regionsOf(id: number): ReadonlySet<string> | 'all' | undefined;
  /** Calls back with the ids that changed, after they are in force here. Returns how to stop. */
  subscribe(listener: (changed: readonly number[]) => void): () => void;
  /** Reads what changed now. */
  refresh(): Promise<void>;
  stop(): void;
}
