import { OpenAPIHono } from '@hono/zod-openapi';
import type { Context } from 'hono';
import { Problem } from '../problem.ts';

/** admin may do everything, write what changes endpoints, read only looks. Each includes the ones after it. */
export const scopes = ['admin', 'write', 'read'] as const;
export type Scope = (typeof scopes)[number];

/** Who asks: from an API token or a session. Set on every /api/ request before its route runs. */
export interface Operator {
  /** For the audit log: `token:NAME` or `session:NAME`. */
  readonly actor: string;
  readonly scopes: readonly Scope[];
  /** Names of the only regions this operator may see and touch; null for all. */
  readonly regions: readonly string[] | null;
}

export interface ApiEnv {
  Variables: {
    /** Absent where nobody is signed in. */
    operator?: Operator;
    requestId: string;
    /** The client's address, behind trusted proxies too. */
    remoteIp: string;
    /** Whether the client came by https, to us or to a trusted proxy. */
    https: boolean;
    /** The operator is known by a session's cookie, which a browser sends by itself. */
    bySession: boolean;
  };
}

/** Throws Problem 401 where nobody is signed in, 403 where the scope is too small. */
export function requireScope(context: Context<ApiEnv>, scope: Scope): Operator {
  const operator = context.get('operator');
  if (!operator) {
    throw new Problem(401, 'auth.required', 'sign in, or send an API token as `Authorization: Bearer …`', {
      headers: { 'www-authenticate': 'Bearer realm="parallax"' },
    });
  }
  const least = scopes.indexOf(scope);
  if (!operator.scopes.some((held) => scopes.indexOf(held) <= least)) {
    throw new Problem(403, 'auth.scope', `this takes a token with the scope ${scope}`);
  }
  return operator;
}

/** Throws Problem 403 unless the operator may touch this region. */
export function requireRegion(operator: Operator, region: string): void {
  if (operator.regions && !operator.regions.includes(region)) {
    throw new Problem(403, 'auth.region', `this token is not for the region ${region}`);
  }
}

/** A router of the operator API: what does not fit a route's schema becomes Problem 400 with one entry a field. */
export function apiRouter(): OpenAPIHono<ApiEnv> {
  return new OpenAPIHono<ApiEnv>({
    defaultHook(result) {
      if (result.success) return;
      const errors = result.error.issues.map(({ path, message }) => ({ path: path.join('.'), message }));
      throw new Problem(400, 'request.invalid', errors[0]?.message ?? 'the request is not valid', {
        extra: { errors },
      });
    },
  });
}
