import type { MiddlewareHandler } from 'hono';
import { nonceHeader } from '../../shared/request-proof.ts';
import type { Prover } from '../trust/prove-request.ts';

/** Every answer to a probe, also a refusal, brings the nonce for its next request. */
export function bringNonce(prover: Pick<Prover, 'issueNonce'>): MiddlewareHandler {
  return async (context, next) => {
    await next();
    context.header(nonceHeader, prover.issueNonce());
  };
}
