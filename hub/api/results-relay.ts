import { Hono } from 'hono';
import { maxBatchBytes } from '../../shared/batch.ts';
import { batchFromRelay, relayPath } from '../../shared/relay.ts';
import type { Bus } from '../ingest/bus.ts';
import { busUnavailable } from '../ingest/bus-unavailable.ts';
import { Problem } from '../problem.ts';
import type { RegisteredProbe } from '../trust/registry.ts';
import { readBody } from './read-body.ts';

export interface RelayOptions {
  readonly bus: Bus;
  /** Throws a Problem unless the request carries a probe's proof over these very bytes. */
  readonly prove: (request: Request, body: Uint8Array) => Promise<RegisteredProbe>;
  /** Requests whose body is in memory at once; each is at most a batch. */
  readonly maxInFlight?: number;
}

/** POST /v1/results: the bytes a probe would have given to Kafka. What they say is judged by ingest, not here. */
export function relayRoutes({ bus, prove, maxInFlight = 64 }: RelayOptions): Hono {
  const app = new Hono();
  let inFlight = 0;
  app.post(relayPath, async (context) => {
    const request = context.req.raw;
    // Before the body is read: whoever cannot be served costs no memory.
    const { ready, reason } = bus.status();
    if (!ready) throw busUnavailable(reason ?? 'the bus is not ready');
    if (inFlight >= maxInFlight) throw busUnavailable('too many deliveries at once');
    inFlight += 1;
    try {
      const body = await readBody(request, maxBatchBytes, 'relay.too_large');
      const probe = await prove(request, body);
      const batch = batchFromRelay(request.headers, body);
      if (typeof batch === 'string') {
        throw new Problem(400, 'relay.header', `the header ${batch} is missing or has the wrong form`);
      }
      if (batch.headers.kid !== probe.kid) {
        throw new Problem(403, 'relay.foreign', 'the batch is sealed with another key than the request');
      }
      await bus.publish(batch, request.signal);
    } finally {
      inFlight -= 1;
    }
    return context.body(null, 204);
  });
  return app;
}
