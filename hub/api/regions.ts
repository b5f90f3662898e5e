import { createRoute, z } from '@hono/zod-openapi';
import type { HubContext } from '../context.ts';
import { listRegionCounts } from '../store/list-regions.ts';
import { apiRouter, requireScope } from './operator.ts';

const regionSchema = z
  .object({
    id: z.int(),
    name: z.string().openapi({ example: 'eu-west' }),
    createdAt: z.iso.datetime(),
    active: z.int().openapi({ description: 'Probes that check there.' }),
    pending: z.int().openapi({ description: 'Probes that wait to be approved.' }),
  })
  .openapi('Region');

const list = createRoute({
  method: 'get',
  path: '/api/v1/regions',
  tags: ['Regions'],
  summary: 'List regions by name',
  description: 'A region is made when an enrollment token for it is.',
  responses: {
    200: {
      description: 'All this operator may see',
      content: { 'application/json': { schema: z.object({ regions: z.array(regionSchema) }) } },
    },
  },
});

export function regionsApi({ db }: Pick<HubContext, 'db'>) {
  const app = apiRouter();
  app.openapi(list, async (context) => {
    const operator = requireScope(context, 'read');
    const rows = await listRegionCounts(db);
    const regions = rows
      .filter(({ name }) => operator.regions?.includes(name) ?? true)
      .map((row) => ({ ...row, createdAt: new Date(row.createdAt).toISOString() }));
    return context.json({ regions }, 200);
  });
  return app;
}
