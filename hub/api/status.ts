import { createRoute, z } from '@hono/zod-openapi';
import type { HubContext } from '../context.ts';
import { Problem } from '../problem.ts';
import { readStatusFacts } from '../status/facts.ts';
import { statusLines } from '../status/lines.ts';
import { apiRouter, requireScope } from './operator.ts';

const lineSchema = z
  .object({
    area: z.string().openapi({ example: 'partitions' }),
    level: z.enum(['ok', 'watch', 'act']).openapi({ description: '`act`: somebody should, also at night.' }),
    says: z.string(),
    advice: z.string().nullable().openapi({ description: 'What to do.' }),
    facts: z.record(z.string(), z.union([z.string(), z.number(), z.boolean(), z.null()])),
  })
  .openapi('StatusLine');

const read = createRoute({
  method: 'get',
  path: '/api/v1/status',
  tags: ['Status'],
  summary: 'How the whole network is, in lines for people',
  description: 'From what the database knows, so of all replicas. Takes a token for all regions.',
  responses: {
    200: {
      description: 'What an operator looks at',
      content: {
        'application/json': { schema: z.object({ at: z.iso.datetime(), lines: z.array(lineSchema) }) },
      },
    },
  },
});

export function statusApi({ db }: Pick<HubContext, 'db'>) {
  const app = apiRouter();
  app.openapi(read, async (context) => {
    const { regions } = requireScope(context, 'read');
    if (regions) throw new Problem(403, 'auth.region', 'the status takes a token for all regions');
    const facts = await readStatusFacts(db);
    return context.json({ at: new Date(facts.nowUs / 1000).toISOString(), lines: statusLines(facts) }, 200);
  });
  return app;
}
