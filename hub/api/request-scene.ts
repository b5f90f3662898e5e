import { randomUUID } from 'node:crypto';
import type { HttpBindings } from '@hono/node-server';
import type { Context, MiddlewareHandler } from 'hono';
import { matchedRoutes } from 'hono/route';
import type { Logger } from 'pino';
import type { clientFinder } from './client-address.ts';
import type { ApiEnv } from './operator.ts';
import type { RequestMetrics } from './request-metrics.ts';

/** The node request below, where there is one: tests may call the app without a socket. */
export function incomingOf(context: Context<ApiEnv>): HttpBindings['incoming'] | undefined {
  return (context.env as Partial<HttpBindings> | undefined)?.incoming;
}

/** Who asks and under which id; then one line in the log and the figures. Never the query or a header: they may be secret. */
export function requestScene(
  find: ReturnType<typeof clientFinder>,
  log: Pick<Logger, 'debug' | 'info' | 'error'>,
  metrics: RequestMetrics,
): MiddlewareHandler<ApiEnv> {
  return async (context, next) => {
    const beganMs = performance.now();
    const { req } = context;
    const socket = incomingOf(context)?.socket;
    const encrypted = socket ? 'encrypted' in socket : req.url.startsWith('https:');
    const client = find(socket?.remoteAddress ?? '', (name) => req.header(name), encrypted);
    const given = client.proxied ? req.header('x-request-id') : undefined;
    const requestId = given && /^[\w.:-]{8,100}$/.test(given) ? given : randomUUID();
    context.set('requestId', requestId);
    context.set('remoteIp', client.ip);
    context.set('https', client.https);
    context.set('bySession', false);
    metrics.began();
    try {
      await next();
    } finally {
      // Nobody hears the answer any more: what then went wrong is not ours. 499 as nginx has it.
      const gone = context.res.status >= 400 && req.raw.signal.aborted;
      const status = gone ? 499 : context.res.status;
      const route = routeOf(context);
      const ms = performance.now() - beganMs;
      metrics.ended(route, req.method, status, ms / 1000);
      context.header('x-request-id', requestId);
      const line = {
        requestId,
        method: req.method,
        path: req.path.slice(0, 200),
        status,
        ms: Math.round(ms * 10) / 10,
        remoteIp: client.ip,
        ...(context.get('operator') && { actor: context.get('operator')?.actor }),
      };
      if (status >= 500 && status !== 503)
        log.error({ ...line, err: causeOf(context.error) }, 'a request failed');
      else if (gone || isBusy(route)) log.debug(line, 'request');
      else log.info(line, 'request');
    }
  };
}

function routeOf(context: Context<ApiEnv>): string {
  return matchedRoutes(context).findLast((route) => route.method !== 'ALL')?.path ?? 'none';
}

/** Ten thousand probes ask a thousand times a second. */
function isBusy(route: string): boolean {
  return (
    /^\/(v1|assets|\.well-known)\//.test(route) || ['/healthz', '/readyz', '/metrics', 'none'].includes(route)
  );
}

function causeOf(error: Error | undefined): unknown {
  return error?.cause ?? error;
}
