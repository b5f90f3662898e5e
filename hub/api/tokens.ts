import { createRoute, z } from '@hono/zod-openapi';
import { duration } from '../../shared/duration.ts';
import { regionNameSchema } from '../../shared/endpoint.ts';
import type { HubContext } from '../context.ts';
import { Problem } from '../problem.ts';
import type { Sql } from '../store/database.ts';
import type { ApiTokenRow } from '../store/insert-api-token.ts';
import { insertAudit } from '../store/insert-audit.ts';
import { listApiTokens } from '../store/list-api-tokens.ts';
import { revokeApiToken } from '../store/revoke-api-token.ts';
import { createApiToken } from '../trust/api-tokens.ts';
import type { HubKeys } from '../trust/keys.ts';
import { tokenRowHolds } from '../trust/operator-rows.ts';
import { apiRouter, type Operator, requireScope, scopes } from './operator.ts';

const tags = ['Tokens'];
const instant = z.iso.datetime().openapi({ example: '2026-03-01T12:00:00.000Z' });

const tokenSchema = z
  .object({
    id: z.int(),
    name: z.string().openapi({ example: 'ci' }),
    scopes: z.array(z.enum(scopes)),
    regions: z
      .array(z.string())
      .nullable()
      .openapi({ description: 'The only regions it sees; null for all.' }),
    state: z
      .enum(['good', 'expired', 'revoked', 'untrusted'])
      .openapi({ description: 'Untrusted: this hub did not make the row, and refuses the token.' }),
    createdBy: z.string(),
    createdAt: instant,
    expiresAt: instant.nullable(),
    revokedAt: instant.nullable(),
  })
  .openapi('Token');

/** What a token is to be made of. */
export const tokenRequestSchema = z
  .strictObject({
    name: z
      .string()
      .regex(/^[\p{L}\p{N}][\p{L}\p{N} ._@-]{0,99}$/u, 'letters, digits, spaces and . _ @ -, at most 100')
      .openapi({ example: 'ci' }),
    scopes: z
      .array(z.enum(scopes))
      .min(1)
      .openapi({ example: ['write'] }),
    regions: z.array(regionNameSchema).min(1).max(1000).nullable().default(null),
    ttl: duration('1m', '3650d').optional().openapi({ type: 'string', example: '90d' }),
  })
  .openapi('TokenRequest');

const create = createRoute({
  method: 'post',
  path: '/api/v1/tokens',
  tags,
  summary: 'Make an API token',
  description: 'It is shown this once; the hub keeps only its hash. Takes the scope admin.',
  request: { body: { required: true, content: { 'application/json': { schema: tokenRequestSchema } } } },
  responses: {
    201: {
      description: 'The token',
      content: {
        'application/json': {
          schema: tokenSchema.extend({ token: z.string().openapi({ example: 'plx_…' }) }),
        },
      },
    },
  },
});

const list = createRoute({
  method: 'get',
  path: '/api/v1/tokens',
  tags,
  summary: 'List API tokens, newest first',
  description: 'Takes the scope admin.',
  responses: {
    200: {
      description: 'Without the tokens themselves',
      content: { 'application/json': { schema: z.object({ tokens: z.array(tokenSchema) }) } },
    },
  },
});

const revoke = createRoute({
  method: 'delete',
  path: '/api/v1/tokens/{id}',
  tags,
  summary: 'Revoke an API token',
  description: 'Every replica refuses it within two seconds. Takes the scope admin.',
  request: { params: z.object({ id: z.coerce.number().int().positive().max(Number.MAX_SAFE_INTEGER) }) },
  responses: { 204: { description: 'Revoked, now or before' } },
});

export function tokensApi({ db, keys, now }: Pick<HubContext, 'db' | 'keys' | 'now'>) {
  const app = apiRouter();
  const present = (row: ApiTokenRow) => presentAt(row, keys.hmac, now());
  app.openapi(create, async (context) => {
    const operator = requireScope(context, 'admin');
    const wanted = context.req.valid('json');
    requireWithin(operator, wanted.regions);
    const remoteIp = context.get('remoteIp');
    const made = await db.transaction((sql) =>
      makeToken(sql, keys, wanted, { actor: operator.actor, nowUs: now(), remoteIp }),
    );
    return context.json(made, 201);
  });
  app.openapi(list, async (context) => {
    const operator = requireScope(context, 'admin');
    const rows = (await listApiTokens(db)).filter((row) => isWithin(operator, row.regions));
    return context.json({ tokens: rows.map(present) }, 200);
  });
  app.openapi(revoke, async (context) => {
    const operator = requireScope(context, 'admin');
    const { id } = context.req.valid('param');
    await db.transaction(async (sql) => {
      const row = await revokeApiToken(sql, id);
      if (!row || !isWithin(operator, row.regions)) {
        throw new Problem(404, 'token.unknown', `there is no token ${id}`);
      }
      await insertAudit(sql, {
        actor: operator.actor,
        action: 'token.revoke',
        subject: `token:${row.name}`,
        before: { id, scopes: row.scopes, regions: row.regions },
        remoteIp: context.get('remoteIp'),
      });
    });
    return context.body(null, 204);
  });
  return app;
}

/** Makes it and says so in the audit log. */
export async function makeToken(
  sql: Sql,
  keys: Pick<HubKeys, 'hmac'>,
  { ttl, ...wanted }: z.output<typeof tokenRequestSchema>,
  { actor, nowUs, remoteIp }: { readonly actor: string; readonly nowUs: number; readonly remoteIp?: string },
) {
  const { token, row } = await createApiToken(sql, keys, {
    ...wanted,
    expiresAt: ttl === undefined ? null : new Date(nowUs / 1000 + ttl),
    createdBy: actor,
  });
  const { id, name, scopes, regions, expiresAt } = row;
  await insertAudit(sql, {
    actor,
    action: 'token.create',
    subject: `token:${name}`,
    after: { id, scopes, regions, expiresAt },
    ...(remoteIp !== undefined && { remoteIp }),
  });
  return { ...presentAt(row, keys.hmac, nowUs), token };
}

/** One who may see only some regions makes and sees no token that sees more. */
function isWithin({ regions }: Operator, wanted: readonly string[] | null): boolean {
  return regions === null || (wanted?.every((region) => regions.includes(region)) ?? false);
}

function requireWithin(operator: Operator, wanted: readonly string[] | null): void {
  if (isWithin(operator, wanted)) return;
  const own = operator.regions?.join(', ');
  throw new Problem(403, 'auth.region', `this token is for ${own} only, and so must be what it makes`);
}

function presentAt(row: ApiTokenRow, hmac: Uint8Array, nowUs: number): z.output<typeof tokenSchema> {
  const { createdAt, expiresAt, revokedAt, scopes, regions, hash, mac, ...rest } = row;
  const ended = expiresAt !== null && expiresAt.getTime() <= nowUs / 1000;
  return {
    ...rest,
    scopes: [...scopes],
    regions: regions && [...regions],
    state: revokedAt ? 'revoked' : !tokenRowHolds(hmac, row) ? 'untrusted' : ended ? 'expired' : 'good',
    createdAt: createdAt.toISOString(),
    expiresAt: expiresAt?.toISOString() ?? null,
    revokedAt: revokedAt?.toISOString() ?? null,
  };
}
