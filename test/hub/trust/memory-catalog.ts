import type { Catalog, TrustedEndpoint } from '../../../hub/trust/catalog.ts';
import { type EndpointDocument, endpointSchemas } from '../../../shared/endpoint.ts';

/** The catalog's seam without its database. */
export interface MemoryCatalog extends Catalog {
  /** A new one or the next rev of one; in force and told at once. */
  set(id: number, document: EndpointDocument): TrustedEndpoint;
  remove(id: number): void;
  /** Endpoints whose secrets cannot be opened. */
  readonly shut: Set<number>;
}

export function memoryCatalog(): MemoryCatalog {
  const endpoints = new Map<number, TrustedEndpoint>();
  const listeners = new Set<(changed: readonly number[]) => void>();
  const tell = (id: number) => {
    for (const listener of listeners) listener([id]);
  };
  const shut = new Set<number>();
  return {
    shut,
    set(id, document) {
      const trusted = {
        id,
        rev: (endpoints.get(id)?.rev ?? 0) + 1,
        endpoint: endpointSchemas.http.parse(document),
        changedAtUs: Date.now() * 1000,
        deleted: false,
      };
      endpoints.set(id, trusted);
      tell(id);
      return trusted;
    },
    remove(id) {
      endpoints.delete(id);
      tell(id);
    },
    all: () => endpoints.values(),
    byId: (id) => endpoints.get(id),
    reveal: (id) => (shut.has(id) ? undefined : endpoints.get(id)?.endpoint),
    regionsOf(id) {
      const regions = endpoints.get(id)?.endpoint.regions;
      return regions && (regions.length === 0 ? 'all' : new Set(regions));
    },
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    refresh: async () => undefined,
    stop() {},
  };
}
