import { Hono } from 'hono';
import type { Logger } from 'pino';
import type { Registry as MetricsRegistry } from 'prom-client';
import type { HubConfig } from '../config.ts';
import type { Database } from '../store/database.ts';
import { createTokenVerifier } from '../trust/api-tokens.ts';
import type { HubKeys } from '../trust/keys.ts';
import { createSessions } from '../trust/sessions.ts';
import { docsRoutes } from '../web/docs-page.tsx';
import { authenticate } from './authenticate.ts';
import { clientFinder } from './client-address.ts';
import { sameOriginGuard } from './guard.ts';
import { type Health, healthRoutes } from './health.ts';
import { knownHosts } from './known-hosts.ts';
import { countBody, limitBody } from './limit-body.ts';
import { metricsRoutes } from './metrics.ts';
import { openApiDocument, openApiRoutes } from './openapi.ts';
import { type ApiEnv, apiRouter, requireScope } from './operator.ts';
import { problemOf, problemResponse, unserved } from './problem-answers.ts';
import { createRequestMetrics } from './request-metrics.ts';
import { incomingOf, requestScene } from './request-scene.ts';
import { securityHeaders } from './security-headers.ts';
import { sessionRoutes } from './session.ts';

export interface AppOptions {
  readonly config: Pick<HubConfig, 'publicUrl' | 'hosts' | 'listen' | 'trustedProxies'>;
  /** This Parallax's own. */
  readonly version: string;
  readonly log: Logger;
  readonly db: Database;
  readonly keys: Pick<HubKeys, 'hmac'>;
  readonly metrics: MetricsRegistry;
  readonly health: Health;
  /** Epoch milliseconds. */
  readonly clockMs: () => number;
  /** Without them this replica answers for its health alone. */
  readonly routes?: {
    /** What probes call: they prove who they are by themselves. */
    readonly probes: Hono<ApiEnv>;
    /** The operator API, whose routes describe themselves. */
    readonly operators: readonly ReturnType<typeof apiRouter>[];
    readonly pages: readonly Hono<ApiEnv>[];
  };
}

/** Everything the hub serves. What comes first is asked of every request: who, under which name, how much, from where. */
export function createApp(options: AppOptions): Hono<ApiEnv> {
  const { config, version, log, db, keys, metrics, health, clockMs, routes } = options;
  const { publicUrl } = config;
  const app = new Hono<ApiEnv>();
  const requireKnownHost = knownHosts({ ...config, listenHost: config.listen.host });
  const sessions = createSessions(db, keys, clockMs);

  app.onError((error, context) => problemResponse(problemOf(error), context.get('requestId') ?? ''));
  app.notFound(unserved(app));
  app.use(requestScene(clientFinder(config.trustedProxies), log, createRequestMetrics(metrics)));
  app.use(securityHeaders(publicUrl));
  app.route('/', healthRoutes(health));
  app.use(async (context, next) => {
    requireKnownHost(context.req.header('host'), context.req.url, incomingOf(context)?.socket.localAddress);
    return next();
  });
  app.use(async (context, next) => {
    limitBody(context);
    return next();
  });
  if (routes) app.route('/', routes.probes);
  app.use(authenticate(createTokenVerifier(db, keys, clockMs), sessions));
  app.use(sameOriginGuard(publicUrl));
  app.use(async (context, next) => {
    await countBody(context);
    return next();
  });
  app.route('/', sessionRoutes(db, keys, sessions));
  app.route('/', metricsRoutes(metrics));
  if (!routes) return app;
  // Before a request is looked at: who is nobody learns nothing from how it is refused.
  app.use('/api/*', async (context, next) => {
    requireScope(context, 'read');
    return next();
  });
  const api = apiRouter();
  for (const operator of routes.operators) api.route('/', operator);
  app.route('/', api);
  const document = openApiDocument(api, publicUrl, version);
  app.route('/', openApiRoutes(document));
  app.route('/', docsRoutes(document));
  for (const pages of routes.pages) app.route('/', pages);
  return app;
}
