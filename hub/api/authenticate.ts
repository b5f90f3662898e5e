import type { MiddlewareHandler } from 'hono';
import { Problem } from '../problem.ts';
import type { VerifyToken } from '../trust/api-tokens.ts';
import type { Sessions } from '../trust/sessions.ts';
import type { ApiEnv } from './operator.ts';
import { sessionFrom } from './session-cookie.ts';

/** Sets `operator` from an API token or a session. A token that is sent and is not good is refused, never overlooked. */
export function authenticate(verifyToken: VerifyToken, sessions: Sessions): MiddlewareHandler<ApiEnv> {
  return async (context, next) => {
    const header = context.req.header('authorization');
    if (header !== undefined) {
      const token = /^bearer +(\S+)$/i.exec(header)?.[1];
      const operator = token ? await verifyToken(token) : null;
      if (!operator) {
        throw new Problem(401, 'auth.invalid', 'the API token is not known, has ended or was revoked', {
          headers: { 'www-authenticate': 'Bearer realm="parallax", error="invalid_token"' },
        });
      }
      context.set('operator', operator);
      return next();
    }
    const scene = { https: context.get('https'), host: context.req.header('host') ?? '' };
    const session = sessionFrom(scene, context.req.header('cookie'));
    const operator = session === null ? null : await sessions.verify(session);
    if (operator) {
      context.set('operator', operator);
      context.set('bySession', true);
    }
    return next();
  };
}
