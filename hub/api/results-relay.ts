import { Hono } from 'hono';
import { maxBatchBytes } from '../../shared/batch.ts';
import { batchFromRelay, relayPath } from '../../shared/relay.ts';
import type { Bus } from '../ingest/bus.ts';
import { busUnavailable } from '../ingest/bus-unavailable.ts';
import { Problem } from '../problem.ts';
import type { Prover } from '../trust/prove-request.ts';
import { readBody } from './read-body.ts';

export interface RelayOptions {
  readonly bus: Bus;
  /** Throws a Problem unless the request carries a probe's proof over the very bytes that are read. */
  readonly prove: Prover['proveThenRead'];
  /** Requests whose body is in memory at once; each is at most a batch. */
  readonly maxInFlight?: number;
  /** Of one probe: one that drips its bodies keeps nobody else out. */
  readonly maxOfProbe?: number;
}

/** POST /v1/results: the bytes a probe would have given to Kafka. What they say is judged by ingest, not here. */
export function relayRoutes({ bus, prove, maxInFlight = 64, maxOfProbe = 8 }: RelayOptions): Hono {
  const app = new Hono();
  const places = createPlaces(maxInFlight, maxOfProbe);
  app.post(relayPath, async (context) => {
    const request = context.req.raw;
    // Before the body is read: whoever cannot be served costs no memory.
    const { ready, reason } = bus.status();
    if (!ready) throw busUnavailable(reason ?? 'the bus is not ready');
    let leave = () => {};
    try {
      const { probe, body } = await prove(request, async ({ id }) => {
        leave = places.take(id);
        return readBody(request, maxBatchBytes, 'relay.too_large');
      });
      const batch = batchFromRelay(request.headers, body);
      if (typeof batch === 'string') {
        throw new Problem(400, 'relay.header', `the header ${batch} is missing or has the wrong form`);
      }
      if (batch.headers.kid !== probe.kid) {
        throw new Problem(403, 'relay.foreign', 'the batch is sealed with another key than the request');
      }
      await bus.publish(batch, request.signal);
    } finally {
      leave();
    }
    return context.body(null, 204);
  });
  return app;
}

/** Places for deliveries; only a proven probe is given one. */
function createPlaces(most: number, mostOfOne: number) {
  const taken = new Map<number, number>();
  let all = 0;
  return {
    /** Returns how to leave it. Throws Problem 503 where there is none. */
    take(probeId: number): () => void {
      const own = taken.get(probeId) ?? 0;
      if (all >= most || own >= mostOfOne) throw busUnavailable('too many deliveries at once');
      all += 1;
      taken.set(probeId, own + 1);
      return () => {
        all -= 1;
        const left = (taken.get(probeId) ?? 1) - 1;
        if (left > 0) taken.set(probeId, left);
        else taken.delete(probeId);
      };
    },
  };
}
