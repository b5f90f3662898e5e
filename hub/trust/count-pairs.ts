import type { Catalog } from './catalog.ts';
import type { Registry } from './registry.ts';

/** How many (endpoint, region) pairs are checked now: an endpoint that names no region is checked from all there are. */
export function countPairs(catalog: Pick<Catalog, 'all'>, registry: Pick<Registry, 'regions'>): number {
  const everywhere = registry.regions().length;
  let pairs = 0;
  for (const { endpoint } of catalog.all()) {
    if (endpoint.enabled) pairs += endpoint.regions.length || everywhere;
  }
  return pairs;
}
