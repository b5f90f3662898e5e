import { Hono } from 'hono';
import type { Registry } from 'prom-client';
import { isLoopback } from './client-address.ts';
import { type ApiEnv, requireScope } from './operator.ts';

/** GET /metrics: for this machine itself, else for a token that may read. */
export function metricsRoutes(registry: Registry): Hono<ApiEnv> {
  const app = new Hono<ApiEnv>();
  app.get('/metrics', async (context) => {
    // Behind a proxy on this machine all of the world comes from loopback.
    const forwarded = context.req.header('x-forwarded-for') ?? context.req.header('forwarded');
    if (forwarded !== undefined || !isLoopback(context.get('remoteIp'))) requireScope(context, 'read');
    return context.body(await registry.metrics(), 200, { 'content-type': registry.contentType });
  });
  return app;
}
