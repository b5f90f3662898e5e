import { createRoute, z } from '@hono/zod-openapi';
import type { Context } from 'hono';
import { httpEndpointSchema, regionNameSchema } from '../../shared/endpoint.ts';
import type { HubContext } from '../context.ts';
import { createEndpointWriter, type Writer } from '../endpoints/endpoint-writer.ts';
import { Problem } from '../problem.ts';
import type { EndpointRow } from '../store/endpoint-row.ts';
import { findEndpoint } from '../store/find-endpoints.ts';
import { listEndpoints } from '../store/list-endpoints.ts';
import { endpointRowHolds } from '../trust/endpoint-rows.ts';
import { readCursor, writeCursor } from './cursor.ts';
import { type ApiEnv, apiRouter, type Operator, requireRegion, requireScope } from './operator.ts';

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

const endpointSchema = z
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

const list = createRoute({
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

const get = createRoute({
  method: 'get',
  path: '/api/v1/endpoints/{id}',
  tags,
  summary: 'Show an endpoint',
  request: { params },
  responses: { 200: one },
});

const create = createRoute({
  method: 'post',
  path: '/api/v1/endpoints',
  tags,
  summary: 'Make an endpoint',
  description: 'Takes the scope write.',
  request: { query: z.object({ source: sourceSchema.default('api') }), ...body(documentBody) },
  responses: { 201: one },
});

const replace = createRoute({
  method: 'put',
  path: '/api/v1/endpoints/{id}',
  tags,
  summary: 'Replace an endpoint',
  description: 'If-Match names the ETag that was read, or `*`. Takes the scope write.',
  request: { params, ...body(documentBody) },
  responses: { 200: one },
});

const patch = createRoute({
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

const remove = createRoute({
  method: 'delete',
  path: '/api/v1/endpoints/{id}',
  tags,
  summary: 'Delete an endpoint',
  description: 'Its results stay for their time. If-Match is taken where it is given. Takes the scope write.',
  request: { params },
  responses: { 204: { description: 'Deleted' } },
});

const applySchema = z.strictObject({
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

const apply = createRoute({
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

export interface EndpointsApiContext extends Pick<HubContext, 'db'> {
  readonly keys: Pick<HubContext['keys'], 'hmac'>;
  readonly config: Pick<HubContext['config'], 'secret'> & Partial<Pick<HubContext['config'], 'alsoSecrets'>>;
}

export function endpointsApi({ db, keys, config }: EndpointsApiContext) {
  const app = apiRouter();
  const writer = createEndpointWriter({ db, keys, secret: config.secret, alsoSecrets: config.alsoSecrets });
  const { $schema: _, ...documentSchema } = z.toJSONSchema(httpEndpointSchema, {
    io: 'input',
    unrepresentable: 'any',
  });
  app.openAPIRegistry.registerComponent('schemas', 'EndpointDocument', documentSchema as object);

  const present = (row: EndpointRow): z.output<typeof endpointSchema> => {
    const { id, rev, name, source, spec, changedAtUs } = row;
    const trusted = endpointRowHolds(keys.hmac, row);
    const changedAt = new Date(changedAtUs / 1000).toISOString();
    return { id, rev, name, source, changedAt, trusted, document: trusted ? { ...spec } : null };
  };

  app.openapi(list, async (context) => {
    const operator = requireScope(context, 'read');
    const { tag = [], name, region, limit, cursor } = context.req.valid('query');
    if (region !== undefined) requireRegion(operator, region);
    const rows = await listEndpoints(db, {
      tags: [tag].flat().map(readTag),
      name: name || null,
      regions: region === undefined ? operator.regions : [region],
      after: cursor === undefined ? null : readCursor(cursor, z.tuple([z.string()]))[0],
      limit: limit + 1,
    });
    const page = rows.slice(0, limit);
    const last = rows.length > limit ? page.at(-1) : undefined;
    return context.json(
      { endpoints: page.map(present), cursor: last ? writeCursor([last.name]) : null },
      200,
    );
  });

  app.openapi(get, async (context) => {
    const operator = requireScope(context, 'read');
    const { id } = context.req.valid('param');
    const row = await findEndpoint(db, id);
    if (!row || !mayRead(operator, row))
      throw new Problem(404, 'endpoint.unknown', `there is no endpoint ${id}`);
    context.header('etag', `"${row.rev}"`);
    return context.json(present(row), 200);
  });

  app.openapi(create, async (context) => {
    const who = writerOf(context);
    const { source } = context.req.valid('query');
    const row = await writer.create(await readJson(context), source, who);
    context.header('location', `/api/v1/endpoints/${row.id}`);
    context.header('etag', `"${row.rev}"`);
    return context.json(present(row), 201);
  });

  app.openapi(replace, async (context) => {
    const who = writerOf(context);
    const { id } = context.req.valid('param');
    const rev = requireMatch(context);
    const row = await writer.replace(id, rev, await readJson(context), who);
    context.header('etag', `"${row.rev}"`);
    return context.json(present(row), 200);
  });

  app.openapi(patch, async (context) => {
    const who = writerOf(context);
    const { id } = context.req.valid('param');
    const rev = requireMatch(context);
    const row = await writer.patch(id, rev, await readJson(context), who);
    context.header('etag', `"${row.rev}"`);
    return context.json(present(row), 200);
  });

  app.openapi(remove, async (context) => {
    const who = writerOf(context);
    const { id } = context.req.valid('param');
    await writer.remove(id, context.req.header('if-match') === undefined ? null : requireMatch(context), who);
    return context.body(null, 204);
  });

  app.openapi(apply, async (context) => {
    const who = writerOf(context);
    const read = applySchema.safeParse(await readJson(context));
    if (!read.success) {
      const errors = read.error.issues.map(({ path, message }) => ({ path: path.join('.'), message }));
      const detail = errors.map(({ path, message }) => `${path}: ${message}`).join('; ');
      throw new Problem(400, 'request.invalid', detail, { extra: { errors } });
    }
    const { changes, unchanged } = await writer.apply(read.data, who);
    const shown = changes.map((change) => ({ ...change, fields: [...change.fields] }));
    return context.json({ dryRun: read.data.dryRun, changes: shown, unchanged }, 200);
  });
  return app;
}

function writerOf(context: Context<ApiEnv>): Writer {
  const { actor, regions } = requireScope(context, 'write');
  return { actor, regions, remoteIp: context.get('remoteIp') };
}

/** What is checked from everywhere is checked from the operator's regions too. */
function mayRead({ regions }: Operator, { spec }: EndpointRow): boolean {
  const asked = spec?.regions ?? [];
  return regions === null || asked.length === 0 || asked.some((region) => regions.includes(region));
}

async function readJson(context: Context<ApiEnv>): Promise<unknown> {
  try {
    return await context.req.json();
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw new Problem(400, 'request.invalid', 'the body is not JSON', { cause: error });
  }
}

/** The rev that If-Match names; null for any. Throws Problem 428 without one. */
function requireMatch(context: Context<ApiEnv>): number | null {
  const given = context.req.header('if-match')?.trim();
  if (given === undefined) {
    const detail = 'name the version that you change: `If-Match: "REV"`, as its ETag was, or `If-Match: *`';
    throw new Problem(428, 'endpoint.if_match', detail);
  }
  if (given === '*') return null;
  const rev = /^"(\d{1,10})"$/.exec(given)?.[1];
  if (rev === undefined)
    throw new Problem(412, 'endpoint.stale', `If-Match: ${given} is no ETag of an endpoint`);
  return Number(rev);
}

function readTag(text: string): { name: string; value: string | null } {
  const at = text.indexOf(':');
  return at < 0 ? { name: text, value: null } : { name: text.slice(0, at), value: text.slice(at + 1) };
}
