import { Counter, Gauge, Histogram, type Registry } from 'prom-client';

export interface RequestMetrics {
  began(): void;
  ended(route: string, method: string, status: number, seconds: number): void;
}

const knownMethods = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']);

/** By route pattern, never by path: strangers choose paths, and each would be a series of its own. */
export function createRequestMetrics(registry: Registry): RequestMetrics {
  const registers = [registry];
  const open = new Gauge({
    name: 'parallax_http_requests_open',
    help: 'Requests being answered, waiting leases and event streams among them',
    registers,
  });
  const requests = new Counter({
    name: 'parallax_http_requests_total',
    help: 'Requests answered',
    labelNames: ['route', 'method', 'status'],
    registers,
  });
  const seconds = new Histogram({
    name: 'parallax_http_request_seconds',
    help: 'Time to the answer; that of /v1/lease holds its wait',
    labelNames: ['route'],
    buckets: [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
    registers,
  });
  return {
    began: () => open.inc(),
    ended(route, method, status, tookSeconds) {
      open.dec();
      requests.inc({ route, method: knownMethods.has(method) ? method : 'other', status: String(status) });
      seconds.observe({ route }, tookSeconds);
    },
  };
}
