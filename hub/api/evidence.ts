import { createRoute, z } from '@hono/zod-openapi';
import { evidencePhases } from '../../shared/evidence.ts';
import type { HubContext } from '../context.ts';
import { listEvidence } from '../store/list-evidence.ts';
import { apiRouter, requireScope } from './operator.ts';
import { cursorOf, instant, presentResult, queryOf, resultSchema, us } from './results.ts';

const headers = z
  .array(z.array(z.string()).length(2))
  .openapi({ example: [['content-type', 'text/html']], description: 'Names and values, as they came' });

const contentSchema = z
  .object({
    request: z
      .object({
        method: z.string(),
        url: z.string().openapi({ description: 'Values of its query are masked' }),
        headers,
        bodyBytes: z.int(),
      })
      .nullable(),
    response: z.object({ status: z.int().nullable(), headers, body: z.string().nullable() }).nullable(),
    certificates: z.array(
      z.object({
        subject: z.string(),
        issuer: z.string(),
        notAfter: z.int().openapi({ description: 'Epoch seconds' }),
        sha256: z.string(),
      }),
    ),
    addresses: z.array(z.string()),
    address: z.string().nullable().openapi({ description: 'The last that was dialled' }),
    resolver: z.string().nullable(),
    phase: z.enum(evidencePhases).nullable(),
    errno: z.string().nullable(),
    traceId: z.string().nullable().openapi({ description: 'Of the traceparent that was sent' }),
  })
  .openapi('EvidenceContent');

const evidenceSchema = z
  .object({
    endpoint: z.string().openapi({ example: 'shop' }),
    region: z.string().openapi({ example: 'eu-west' }),
    probe: z.string().nullable(),
    probeId: z.int(),
    scheduledAt: us,
    evidence: contentSchema,
    result: resultSchema.nullable().openapi({ description: 'Null where it has outlived its own retention' }),
  })
  .openapi('Evidence');

const list = createRoute({
  method: 'get',
  path: '/api/v1/evidence',
  tags: ['Results'],
  summary: 'What was seen when an endpoint failed, newest first',
  description:
    'Of the first failure after it was not down, and of those in another way; kept 7 days. The probe masks what may be a secret.',
  request: {
    query: z.object({
      endpoint: z.string().min(1).max(100).openapi({ example: 'shop' }),
      region: z.string().max(63).optional().openapi({ example: 'eu-west' }),
      from: instant.optional().openapi({ type: 'string', description: 'Inclusive' }),
      to: instant.optional().openapi({ type: 'string', description: 'Exclusive' }),
      limit: z.coerce.number().int().min(1).max(200).default(20),
      cursor: z.string().max(200).optional(),
    }),
  },
  responses: {
    200: {
      description: 'A page of evidence',
      content: {
        'application/json': {
          schema: z.object({
            evidence: z.array(evidenceSchema),
            cursor: z
              .string()
              .nullable()
              .openapi({ description: 'Leads to older ones; null on the last page.' }),
          }),
        },
      },
    },
  },
});

/** Read by whoever may read the results, region by region. */
export function evidenceApi({ db, registry }: Pick<HubContext, 'db' | 'registry'>) {
  const app = apiRouter();
  app.openapi(list, async (context) => {
    const operator = requireScope(context, 'read');
    const asked = context.req.valid('query');
    const { endpoint, limit } = asked;
    const rows = await listEvidence(db, await queryOf({ db, registry }, operator, asked));
    return context.json(
      {
        evidence: rows.slice(0, limit).map(({ regionId, scheduledAt, probeId, content, result }) => ({
          endpoint,
          region: registry.regionById(regionId)?.name ?? String(regionId),
          probe: registry.probeById(probeId)?.name ?? null,
          probeId,
          scheduledAt,
          evidence: content,
          result: result && presentResult(registry, endpoint, result),
        })),
        cursor: cursorOf(rows, limit),
      },
      200,
    );
  });
  return app;
}
