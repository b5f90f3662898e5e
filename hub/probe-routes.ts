import { Hono } from 'hono';
import { assignmentRoutes } from './api/assignments.ts';
import { kafkaTokenRoutes } from './api/kafka-token.ts';
import { leaseRoutes } from './api/lease.ts';
import type { ApiEnv } from './api/operator.ts';
import { orderRoutes } from './api/orders.ts';
import { probeEnrollRoutes } from './api/probe-enroll.ts';
import { bringNonce } from './api/probe-nonce.ts';
import { relayRoutes } from './api/results-relay.ts';
import { wellKnownRoutes } from './api/well-known.ts';
import type { HubContext } from './context.ts';
import { createEnroller } from './trust/enroll.ts';
import { createProver } from './trust/prove-request.ts';
import type { Leases } from './trust/start-leases.ts';
import type { TrustMetrics } from './trust/trust-metrics.ts';

/** What probes call: each request proves by itself who sends it. */
export function probeRoutes(context: HubContext, leases: Leases, trust: TrustMetrics): Hono<ApiEnv> {
  const { config, db, keys, registry, bus, log, now } = context;
  const { publicUrl, kafka } = config;
  const prover = createProver({ keys, registry, publicUrl, now });
  const enroller = createEnroller({ db, keys, registry, publicUrl, now, log, metrics: trust });
  const app = new Hono<ApiEnv>();
  app.use('/v1/*', bringNonce(prover));
  app.route('/', wellKnownRoutes({ keys }));
  app.route('/', probeEnrollRoutes({ prover, enroller }));
  app.route('/', leaseRoutes({ prover, leases }));
  app.route('/', assignmentRoutes({ prover, leases }));
  app.route('/', kafkaTokenRoutes({ prover, keys, publicUrl, kafka, now }));
  app.route('/', orderRoutes({ db, prover }));
  app.route('/', relayRoutes({ bus, prove: prover.proveThenRead }));
  return app;
}
