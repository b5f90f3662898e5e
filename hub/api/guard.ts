import type { MiddlewareHandler } from 'hono';
import { Problem } from '../problem.ts';
import type { ApiEnv } from './operator.ts';

const reading = new Set(['GET', 'HEAD', 'OPTIONS']);

/**
 * Every change that a browser's session asks for must come from one of our own pages: Origin equal to ours, and
 * Sec-Fetch-Site, which browsers send to https and loopback, not of another site. Signing in is such a change too.
 */
export function sameOriginGuard(publicUrl: string): MiddlewareHandler<ApiEnv> {
  const known = new URL(publicUrl).origin;
  return async (context, next) => {
    const { req } = context;
    if (reading.has(req.method) || !(context.get('bySession') || req.path === '/session')) return next();
    const origin = req.header('origin');
    const site = req.header('sec-fetch-site');
    const here = `${context.get('https') ? 'https' : 'http'}://${req.header('host')}`;
    if ((origin !== known && origin !== here) || (site !== undefined && site !== 'same-origin')) {
      throw new Problem(
        403,
        'origin.foreign',
        "a change must come from this hub's own pages, or with an API token",
      );
    }
    return next();
  };
}
