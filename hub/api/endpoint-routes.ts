import { createRoute, z } from '@hono/zod-openapi';
import { regionNameSchema } from '../../shared/endpoint.ts';

// What the endpoint routes take and give; hub/api/endpoints.ts does it.

const tags = ['Endpoints'];
const instant = z.iso.datetime().openapi({ example: '2026-03-01T12:00:00.000Z' });
/** Bodies are read by the contract's own reader, whose words are kinder than a schema's: here they are only described. */
const documentBody = { $ref: '#/components/schemas/EndpointDocument' };
const body = (schema: object, type = 'application/json') => ({
  body: { required: true, content: { [type]: { schema } } },
});

const sourceSchema = z
  .string()
  .regex(
    /^[\p{L}\p{N}][\p{L}\p{N} ._:/@-]{0,99}$/u,
    'a source begins with a letter or digit and holds letters, digits, spaces and . _ : / @ -, at most 100',
  )
  .openapi({ example: 'git:shop/monitors', pattern: '^[\\p{L}\\p{N}][\\p{L}\\p{N} ._:/@-]{0,99}$' });

export const endpointSchema = z
  .object({
    id: z.int(),
    rev: z.int().openapi({ description: 'Counts its versions; the ETag.' }),
    name: z.string().openapi({ example: 'shop' }),
    source: z.string().openapi({ description: 'Who made it: --prune deletes only within one source.' }),
    changedAt: instant.openapi({ description: 'When this rev was made.' }),
    trusted: z.boolean().openapi({
      description:
        'False where the row was not written by the hub: no probe sees it, and its document is null.',
    }),
    document: z
      .record(z.string(), z.unknown())
      .nullable()
      .openapi({
        description:
          'As EndpointDocument, with every default. Secrets show as `<sealed>`; sent back unchanged they stay as they are.',
        example: { name: 'shop', url: 'https://shop.example/health', interval: '30s' },
      }),
  })
  .openapi('Endpoint');

const changeSchema = z
  .object({
    action: z.enum(['create', 'update', 'delete']),
    id: z.int().nullable().openapi({ description: 'Null for one that a dry run would make.' }),
    name: z.string(),
    rev: z.int(),
    renamedFrom: z.string().nullable(),
    fields: z.array(
      z.object({ path: z.string(), before: z.unknown().optional(), after: z.unknown().optional() }),
    ),
  })
  .openapi('EndpointChange');

const json = <Schema extends z.ZodType>(schema: Schema, description: string) => ({
  description,
  content: { 'application/json': { schema } },
});
const params = z.object({ id: z.coerce.number().int().positive().max(Number.MAX_SAFE_INTEGER) });
const one = json(endpointSchema, 'The endpoint; its ETag is what If-Match takes');

export const listRoute = createRoute({
  method: 'get',
  path: '/api/v1/endpoints',
  tags,
  summary: 'List endpoints in the order of names',
  request: {
    query: z.object({
      tag: z
        .union([z.string(), z.array(z.string())])
        .optional()
        .openapi({ description: '`team:web`, or `team` for any value; repeat it for all of several.' }),
      name: z.string().max(100).optional().openapi({ description: 'Part of the name, in any case.' }),
      region: regionNameSchema.optional().openapi({ description: 'Checked from this region.' }),
      limit: z.coerce.number().int().min(1).max(1000).default(100),
      cursor: z.string().max(1000).optional(),
    }),
  },
  responses: {
    200: json(
      z.object({ endpoints: z.array(endpointSchema), cursor: z.string().nullable() }),
      'One page; `cursor` leads to the next, null on the last',
    ),
  },
});

export const getRoute = createRoute({
  method: 'get',
  path: '/api/v1/endpoints/{id}',
  tags,
  summary: 'Show an endpoint',
  request: { params },
  responses: { 200: one },
});

export const makeRoute = createRoute({
  method: 'post',
  path: '/api/v1/endpoints',
  tags,
  summary: 'Make an endpoint',
  description: 'Takes the scope write.',
  request: { query: z.object({ source: sourceSchema.default('api') }), ...body(documentBody) },
  responses: { 201: one },
});

export const replaceRoute = createRoute({
  method: 'put',
  path: '/api/v1/endpoints/{id}',
  tags,
  summary: 'Replace an endpoint',
  description: 'If-Match names the ETag that was read, or `*`. Takes the scope write.',
  request: { params, ...body(documentBody) },
  responses: { 200: one },
});

export const patchRoute = createRoute({
  method: 'patch',
  path: '/api/v1/endpoints/{id}',
  tags,
  summary: 'Change some fields of an endpoint',
  description:
    'A JSON Merge Patch (RFC 7396) over its document: null removes. If-Match names the ETag that was read, or `*`. Takes the scope write.',
  request: {
    params,
    ...body({ type: 'object', example: { interval: '10s' } }, 'application/merge-patch+json'),
  },
  responses: { 200: one },
});

export const removeRoute = createRoute({
  method: 'delete',
  path: '/api/v1/endpoints/{id}',
  tags,
  summary: 'Delete an endpoint',
  description: 'Its results stay for their time. If-Match is taken where it is given. Takes the scope write.',
  request: { params },
  responses: { 204: { description: 'Deleted' } },
});

export const applySchema = z.strictObject({
  source: sourceSchema.default('api'),
  prune: z.boolean().default(false),
  dryRun: z.boolean().default(false),
  endpoints: z.array(z.unknown()).max(200_000),
});
const applyBody = {
  type: 'object',
  required: ['endpoints'],
  additionalProperties: false,
  properties: {
    source: { type: 'string', default: 'api', description: 'Who made those that are new.' },
    prune: {
      type: 'boolean',
      default: false,
      description: 'Delete what this source made and the list does not name.',
    },
    dryRun: { type: 'boolean', default: false, description: 'Tell what would change, change nothing.' },
    endpoints: { type: 'array', items: documentBody },
  },
};

export const applyRoute = createRoute({
  method: 'post',
  path: '/api/v1/endpoints/apply',
  tags,
  summary: 'Make the endpoints be as a list says',
  description:
    'By name, all of it in one transaction or nothing. What has the same content does not change. Takes the scope write.',
  request: body(applyBody),
  responses: {
    200: json(
      z.object({ dryRun: z.boolean(), changes: z.array(changeSchema), unchanged: z.int() }),
      'What changed, or would',
    ),
  },
});
