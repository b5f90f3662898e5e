import { createRoute, z } from '@hono/zod-openapi';
import type { HubContext } from '../context.ts';
import { Problem } from '../problem.ts';
import { insertAudit } from '../store/insert-audit.ts';
import { createSignInLink, signInLinkSeconds } from '../trust/sign-in.ts';
import { apiRouter, requireScope } from './operator.ts';

const create = createRoute({
  method: 'post',
  path: '/api/v1/sign-in-links',
  tags: ['Tokens'],
  summary: 'Make a one-time sign-in link for the dashboard',
  description: 'Whoever opens it first signs in as an admin. Takes the scope admin, for all regions.',
  responses: {
    201: {
      description: 'Works once, for 15 minutes',
      content: { 'application/json': { schema: z.object({ url: z.url(), ttlSeconds: z.int() }) } },
    },
  },
});

type Needs = Pick<HubContext, 'db' | 'keys' | 'config'>;

export function signInLinksApi({ db, keys, config: { publicUrl } }: Needs) {
  const app = apiRouter();
  app.openapi(create, async (context) => {
    const { actor, regions } = requireScope(context, 'admin');
    if (regions)
      throw new Problem(403, 'auth.region', 'a sign-in link sees all regions, and this token does not');
    const url = await db.transaction(async (sql) => {
      await insertAudit(sql, {
        actor,
        action: 'sign_in_link.create',
        subject: 'sign-in link',
        remoteIp: context.get('remoteIp'),
      });
      return createSignInLink(sql, keys, publicUrl);
    });
    return context.json({ url, ttlSeconds: signInLinkSeconds }, 201);
  });
  return app;
}
