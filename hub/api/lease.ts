import { Hono } from 'hono';
import { leaseRequestSchema } from '../../shared/lease.ts';
import type { Prover } from '../trust/prove-request.ts';
import type { Leases } from '../trust/start-leases.ts';
import type { ApiEnv } from './operator.ts';
import { parseJson } from './parse-json.ts';
import { readBody } from './read-body.ts';

export interface LeaseRoutesOptions {
  readonly prover: Pick<Prover, 'proveThenRead'>;
  readonly leases: { readonly desk: Pick<Leases['desk'], 'ask'> };
}

const maxBytes = 64 * 1024;

/** POST /v1/lease: held until there is something to tell, 8 s at most; a lease or a revocation, signed either way. */
export function leaseRoutes({ prover, leases }: LeaseRoutesOptions): Hono<ApiEnv> {
  const app = new Hono<ApiEnv>();
  app.post('/v1/lease', async (context) => {
    const request = context.req.raw;
    const { probe, body } = await prover.proveThenRead(request, () => readBody(request, maxBytes), {
      allowPending: true,
      allowRevoked: true,
    });
    const asked = parseJson(leaseRequestSchema, body);
    return context.json(await leases.desk.ask(probe, asked, request.signal), 200, {
      'cache-control': 'no-store',
    });
  });
  return app;
}
