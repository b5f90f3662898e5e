import { STATUS_CODES } from 'node:http';
import type { Context, Hono } from 'hono';
import { HTTPException } from 'hono/http-exception';
import { TrieRouter } from 'hono/router/trie-router';
import { Problem } from '../problem.ts';
import { isDatabaseAway } from '../store/database-away.ts';
import type { ApiEnv } from './operator.ts';

export const problemType = 'application/problem+json';

/** The document of RFC 9457. `type` names the code too, for those who only read what the RFC knows. */
export function problemDocument(problem: Problem, requestId: string): Record<string, unknown> {
  return {
    ...problem.extra,
    type: `urn:parallax:problem:${problem.code}`,
    title: STATUS_CODES[problem.status] ?? 'Error',
    status: problem.status,
    detail: problem.message,
    code: problem.code,
    requestId,
  };
}

export function problemResponse(problem: Problem, requestId: string): Response {
  return new Response(`${JSON.stringify(problemDocument(problem, requestId))}\n`, {
    status: problem.status,
    headers: { ...problem.headers, 'content-type': problemType },
  });
}

/** Whatever was thrown, as something that may be shown: what is inside stays inside. */
export function problemOf(error: unknown): Problem {
  if (error instanceof Problem) return error;
  if (error instanceof HTTPException && error.status < 500) {
    return new Problem(error.status, 'request.invalid', error.message || 'the request is not valid');
  }
  if (isDatabaseAway(error)) {
    return new Problem(503, 'database.unavailable', 'the database is away: try again in a moment', {
      headers: { 'retry-after': '2' },
      cause: error,
    });
  }
  return new Problem(500, 'internal', 'something went wrong here; the log tells more under this requestId', {
    cause: error,
  });
}

/** For paths nobody serves: 405 with Allow where another method would be served, else 404. */
export function unserved(app: Hono<ApiEnv>): (context: Context<ApiEnv>) => never {
  let served: TrieRouter<string> | null = null;
  const allowed = (path: string): string[] => {
    if (!served) {
      served = new TrieRouter();
      for (const route of app.routes) {
        if (route.method !== 'ALL') served.add('ALL', route.path, route.method);
      }
    }
    const [matched] = served.match('ALL', path);
    const methods = new Set(matched.map(([method]) => method));
    return [...methods, ...(methods.has('GET') ? ['HEAD'] : [])].sort();
  };
  return (context) => {
    const methods = allowed(context.req.path);
    if (methods.length === 0 || methods.includes(context.req.method)) {
      throw new Problem(404, 'route.unknown', `there is nothing at ${context.req.path.slice(0, 200)}`);
    }
    throw new Problem(405, 'route.method', `${context.req.method} is not served here`, {
      headers: { allow: methods.join(', ') },
    });
  };
}
