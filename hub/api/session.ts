import { Hono } from 'hono';
import * as z from 'zod';
import { Problem } from '../problem.ts';
import type { Database } from '../store/database.ts';
import { insertAudit } from '../store/insert-audit.ts';
import type { HubKeys } from '../trust/keys.ts';
import { createSession, type Sessions, sessionMostSeconds } from '../trust/sessions.ts';
import { redeemSignInLink } from '../trust/sign-in.ts';
import type { ApiEnv } from './operator.ts';
import { sessionCookies, sessionFrom } from './session-cookie.ts';

const signInSchema = z.strictObject({ secret: z.string().max(200) });

/** POST /session redeems a sign-in link's secret for a session; DELETE /session signs out. */
export function sessionRoutes(db: Database, keys: Pick<HubKeys, 'hmac'>, sessions: Sessions): Hono<ApiEnv> {
  const app = new Hono<ApiEnv>();

  app.post('/session', async (context) => {
    const scene = { https: context.get('https'), host: context.req.header('host') ?? '' };
    const parsed = signInSchema.safeParse(await context.req.json().catch(() => null));
    if (!parsed.success)
      throw new Problem(400, 'request.invalid', 'send {"secret": "…"} from a sign-in link');
    if (sessionCookies(scene, '', 0).length === 0) {
      throw new Problem(
        400,
        'session.insecure',
        'browsers keep a session over https or on this machine only: use --tls-cert, a proxy named by --trusted-proxy, or an SSH tunnel to 127.0.0.1',
      );
    }
    const secret = await db.transaction(async (sql) => {
      const name = await redeemSignInLink(sql, keys, parsed.data.secret);
      if (name === null) return null;
      const actor = `session:${name}`;
      await insertAudit(sql, {
        actor,
        action: 'session.create',
        subject: actor,
        after: { scopes: ['admin'] },
        remoteIp: context.get('remoteIp'),
      });
      return createSession(sql, keys, { actor, scopes: ['admin'] });
    });
    if (secret === null) {
      throw new Problem(
        401,
        'sign_in.spent',
        'this sign-in link was used, has ended or was never made: `parallax sign-in` makes a new one',
      );
    }
    // Whatever session the browser came with ends here: none is taken over.
    const before = sessionFrom(scene, context.req.header('cookie'));
    if (before !== null) await sessions.end(before);
    for (const cookie of sessionCookies(scene, secret, sessionMostSeconds)) {
      context.header('set-cookie', cookie, { append: true });
    }
    return context.body(null, 204);
  });

  app.delete('/session', async (context) => {
    const scene = { https: context.get('https'), host: context.req.header('host') ?? '' };
    const session = sessionFrom(scene, context.req.header('cookie'));
    const actor = context.get('operator')?.actor;
    if (session !== null && actor !== undefined) {
      await sessions.end(session);
      await insertAudit(db, {
        actor,
        action: 'session.end',
        subject: actor,
        remoteIp: context.get('remoteIp'),
      });
    }
    for (const cookie of sessionCookies(scene, '', 0)) context.header('set-cookie', cookie, { append: true });
    return context.body(null, 204);
  });

  return app;
}
