import { createRoute, z } from '@hono/zod-openapi';
import type { HubContext } from '../context.ts';
import { Problem } from '../problem.ts';
import { listAudit } from '../store/list-audit.ts';
import { readCursor, writeCursor } from './cursor.ts';
import { apiRouter, requireScope } from './operator.ts';

const entrySchema = z
  .object({
    id: z.int(),
    at: z.iso.datetime().openapi({ example: '2026-03-01T12:00:00.000Z' }),
    actor: z.string().openapi({ example: 'token:ci' }),
    action: z.string().openapi({ example: 'endpoint.update' }),
    subject: z.string().openapi({ example: 'endpoint:shop' }),
    before: z.unknown(),
    after: z.unknown(),
    remoteIp: z.string().nullable(),
  })
  .openapi('AuditEntry');

const list = createRoute({
  method: 'get',
  path: '/api/v1/audit',
  tags: ['Audit'],
  summary: 'Who changed what, newest first',
  description: 'Takes the scope admin, for all regions.',
  request: {
    query: z.object({
      limit: z.coerce.number().int().min(1).max(1000).default(100),
      cursor: z.string().max(200).optional(),
    }),
  },
  responses: {
    200: {
      description: 'Entries',
      content: {
        'application/json': {
          schema: z.object({
            entries: z.array(entrySchema),
            cursor: z
              .string()
              .nullable()
              .openapi({ description: 'Leads to the next page; null on the last.' }),
          }),
        },
      },
    },
  },
});

const placeSchema = z.tuple([z.int().positive()]);

export function auditApi({ db }: Pick<HubContext, 'db'>) {
  const app = apiRouter();
  app.openapi(list, async (context) => {
    const { regions } = requireScope(context, 'admin');
    // An entry may tell of any region.
    if (regions) throw new Problem(403, 'auth.region', 'the audit log takes a token for all regions');
    const { limit, cursor } = context.req.valid('query');
    const [before] = cursor === undefined ? [null] : readCursor(cursor, placeSchema);
    const rows = await listAudit(db, before, limit + 1);
    const page = rows.slice(0, limit);
    const last = page.at(-1);
    return context.json(
      {
        entries: page.map((row) => ({ ...row, at: row.at.toISOString() })),
        cursor: rows.length > limit && last ? writeCursor([last.id]) : null,
      },
      200,
    );
  });
  return app;
}
