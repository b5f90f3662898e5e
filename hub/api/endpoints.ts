import { z } from '@hono/zod-openapi';
import type { Context } from 'hono';
import { endpointSchemas } from '../../shared/endpoint.ts';
import type { HubContext } from '../context.ts';
import { createEndpointWriter } from '../endpoints/endpoint-writer.ts';
import type { Writer } from '../endpoints/writer.ts';
import { Problem } from '../problem.ts';
import type { EndpointRow } from '../store/endpoint-row.ts';
import { findEndpoint } from '../store/find-endpoints.ts';
import { listEndpoints } from '../store/list-endpoints.ts';
import { endpointRowHolds } from '../trust/endpoint-rows.ts';
import { readCursor, writeCursor } from './cursor.ts';
import {
  applyRoute,
  applySchema,
  type endpointSchema,
  getRoute,
  listRoute,
  makeRoute,
  patchRoute,
  removeRoute,
  replaceRoute,
} from './endpoint-routes.ts';
import { type ApiEnv, apiRouter, type Operator, requireRegion, requireScope } from './operator.ts';

export interface EndpointsApiContext extends Pick<HubContext, 'db'> {
  readonly keys: Pick<HubContext['keys'], 'hmac'>;
  readonly config: Pick<HubContext['config'], 'secret'> & Partial<Pick<HubContext['config'], 'alsoSecrets'>>;
}

export function endpointsApi({ db, keys, config }: EndpointsApiContext) {
  const app = apiRouter();
  const writer = createEndpointWriter({ db, keys, secret: config.secret, alsoSecrets: config.alsoSecrets });
  const { $schema: _, ...documentSchema } = z.toJSONSchema(endpointSchemas.http, {
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

  app.openapi(listRoute, async (context) => {
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

  app.openapi(getRoute, async (context) => {
    const operator = requireScope(context, 'read');
    const { id } = context.req.valid('param');
    const row = await findEndpoint(db, id);
    if (!row || !mayRead(operator, row))
      throw new Problem(404, 'endpoint.unknown', `there is no endpoint ${id}`);
    context.header('etag', `"${row.rev}"`);
    return context.json(present(row), 200);
  });

  app.openapi(makeRoute, async (context) => {
    const who = writerOf(context);
    const { source } = context.req.valid('query');
    const row = await writer.create(await readJson(context), source, who);
    context.header('location', `/api/v1/endpoints/${row.id}`);
    context.header('etag', `"${row.rev}"`);
    return context.json(present(row), 201);
  });

  app.openapi(replaceRoute, async (context) => {
    const who = writerOf(context);
    const { id } = context.req.valid('param');
    const rev = requireMatch(context);
    const row = await writer.replace(id, rev, await readJson(context), who);
    context.header('etag', `"${row.rev}"`);
    return context.json(present(row), 200);
  });

  app.openapi(patchRoute, async (context) => {
    const who = writerOf(context);
    const { id } = context.req.valid('param');
    const rev = requireMatch(context);
    const row = await writer.patch(id, rev, await readJson(context), who);
    context.header('etag', `"${row.rev}"`);
    return context.json(present(row), 200);
  });

  app.openapi(removeRoute, async (context) => {
    const who = writerOf(context);
    const { id } = context.req.valid('param');
    await writer.remove(id, context.req.header('if-match') === undefined ? null : requireMatch(context), who);
    return context.body(null, 204);
  });

  app.openapi(applyRoute, async (context) => {
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
