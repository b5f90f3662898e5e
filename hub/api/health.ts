import { Hono } from 'hono';
import type { ApiEnv } from './operator.ts';

export interface Missing {
  /** `database`, `schema`, `bus`, … */
  readonly what: string;
  /** For the person who can act. */
  readonly why: string;
}

/** What the hub needs for its work and has not; empty when it is ready. */
export type Health = () => Promise<readonly Missing[]>;

/** An orchestrator asks by address, so no Host is asked of it, and it learns nothing else. */
export function healthRoutes(health: Health): Hono<ApiEnv> {
  const app = new Hono<ApiEnv>();
  app.get('/healthz', (context) => context.json({ status: 'alive' }));
  app.get('/readyz', async (context) => {
    const missing = await health();
    return missing.length === 0
      ? context.json({ status: 'ready', missing })
      : context.json({ status: 'not ready', missing }, 503, { 'retry-after': '2' });
  });
  return app;
}
