import { Gauge, Registry } from 'prom-client';

export interface CatalogMetrics {
  /** As of now: endpoints that are not deleted, and rows whose HMAC does not hold. */
  counted(endpoints: number, untrusted: number): void;
}

export function createCatalogMetrics(registry: Registry = new Registry()): CatalogMetrics {
  const registers = [registry];
  const known = new Gauge({ name: 'parallax_endpoints', help: 'Endpoints that are not deleted', registers });
  const untrusted = new Gauge({
    name: 'parallax_untrusted_endpoint_rows',
    help: 'Endpoints in the database that the hub did not write and no probe will see',
    registers,
  });
  return {
    counted(endpoints, left) {
      known.set(endpoints);
      untrusted.set(left);
    },
  };
}
