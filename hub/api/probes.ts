import { createRoute, z } from '@hono/zod-openapi';
import type { Context } from 'hono';
import { networkStates } from '../../shared/lease.ts';
import type { ProbeVersions } from '../../shared/probe-versions.ts';
import type { HubContext } from '../context.ts';
import { Problem } from '../problem.ts';
import { listProbeDetails, type ProbeDetails } from '../store/list-probe-details.ts';
import { changeProbe } from '../trust/change-probe.ts';
import { probeRowHolds } from '../trust/probe-rows.ts';
import { refusedFromMs } from '../trust/probe-versions.ts';
import { type ApiEnv, apiRouter, requireRegion, requireScope } from './operator.ts';

const tags = ['Probes'];
const instant = z.iso.datetime().openapi({ example: '2026-03-01T12:00:00.000Z' });
const status = z.enum(['pending', 'active', 'revoked']);

const probeSchema = z
  .object({
    id: z.int(),
    name: z.string().openapi({ example: 'fra-1' }),
    region: z.string().openapi({ example: 'eu-west' }),
    status,
    trusted: z
      .boolean()
      .openapi({ description: 'False for a row in the database that this hub did not write.' }),
    thumbprint: z.string().openapi({ description: 'RFC 7638 thumbprint of its key.' }),
    enrollment: z.uuid().openapi({ description: 'The token it came in by.' }),
    createdAt: instant,
    revokedAt: instant.nullable(),
    seenAt: instant.nullable().openapi({ description: 'When it last asked for a lease; null for never.' }),
    leaseVersion: z.int().nullable(),
    leaseExpiresAt: instant.nullable(),
    capacity: z.int().nullable().openapi({ description: 'Checks a second it can run.' }),
    noiseUs: z.int().nullable().openapi({ description: 'p99 of its event loop’s own delay over a minute.' }),
    dropped: z.int().nullable().openapi({ description: 'Results its spool had to drop.' }),
    spoolBytes: z.int().nullable(),
    version: z.string().nullable(),
    runtime: z.string().nullable(),
    refusedFrom: instant.nullable().openapi({
      description:
        'Too old: it gets no lease from then on, and has to be updated. Null for one that is new enough.',
    }),
    network: z
      .object({
        state: z.enum(networkStates),
        since: instant,
        why: z.string().openapi({ description: 'What it saw; where all is well again, what it was.' }),
      })
      .nullable()
      .openapi({ description: 'What it says of its own network; null for an older probe.' }),
    clockOffsetUs: z
      .int()
      .nullable()
      .openapi({ description: 'How far its machine’s clock is ahead of hub time.' }),
  })
  .openapi('Probe');

const json = <Schema extends z.ZodType>(schema: Schema, description: string) => ({
  description,
  content: { 'application/json': { schema } },
});
const params = z.object({ id: z.coerce.number().int().positive().max(Number.MAX_SAFE_INTEGER) });

const list = createRoute({
  method: 'get',
  path: '/api/v1/probes',
  tags,
  summary: 'List probes, newest first',
  request: {
    query: z.object({
      region: z.string().optional(),
      status: status.optional(),
      limit: z.coerce.number().int().min(1).max(1000).default(100),
      cursor: z.coerce.number().int().positive().max(Number.MAX_SAFE_INTEGER).optional(),
    }),
  },
  responses: {
    200: json(
      z.object({
        probes: z.array(probeSchema),
        cursor: z.string().nullable().openapi({ description: 'Leads to the next page; null on the last.' }),
      }),
      'With what each last said of itself',
    ),
  },
});

const get = createRoute({
  method: 'get',
  path: '/api/v1/probes/{id}',
  tags,
  summary: 'One probe',
  request: { params },
  responses: { 200: json(probeSchema, 'The probe') },
});

const approve = createRoute({
  method: 'post',
  path: '/api/v1/probes/{id}/approve',
  tags,
  summary: 'Approve a probe that enrolled with a token made with `approve`',
  description: 'It begins to check within seconds. Takes the scope admin.',
  request: { params },
  responses: { 200: json(probeSchema, 'The probe as it is now') },
});

const revoke = createRoute({
  method: 'post',
  path: '/api/v1/probes/{id}/revoke',
  tags,
  summary: 'Revoke a probe for good',
  description:
    'It stops and wipes its cache as soon as it hears of it; what it sends is refused at once. Takes the scope admin.',
  request: {
    params,
    body: {
      required: false,
      content: { 'application/json': { schema: z.strictObject({ reason: z.string().max(200).optional() }) } },
    },
  },
  responses: { 200: json(probeSchema, 'The probe as it is now') },
});

type Needs = Pick<HubContext, 'db' | 'keys' | 'registry' | 'versions'>;

export function probesApi({ db, keys, registry, versions }: Needs) {
  const app = apiRouter();

  async function one(context: Context<ApiEnv>, id: number): Promise<z.output<typeof probeSchema>> {
    const operator = requireScope(context, 'read');
    const [row] = await listProbeDetails(db, { ...everywhere, id, limit: 1 });
    if (!row) throw new Problem(404, 'probe.unknown', `there is no probe ${id}`);
    requireRegion(operator, row.region);
    return present(row, keys.hmac, versions);
  }

  async function change(context: Context<ApiEnv>, id: number, action: 'approve' | 'revoke', reason?: string) {
    const operator = requireScope(context, 'admin');
    await changeProbe(db, keys, {
      id,
      action,
      ...(reason === undefined ? {} : { reason }),
      actor: operator.actor,
      remoteIp: context.get('remoteIp') ?? null,
      mayTouch: (region) => requireRegion(operator, region),
    });
    const probe = await one(context, id);
    // In force here before the answer; elsewhere within a second.
    await registry.refresh(probe.thumbprint);
    return probe;
  }

  app.openapi(list, async (context) => {
    const operator = requireScope(context, 'read');
    const { region, status = null, limit, cursor = null } = context.req.valid('query');
    if (region !== undefined) requireRegion(operator, region);
    const regions = region === undefined ? operator.regions : [region];
    const rows = await listProbeDetails(db, { regions, status, id: null, before: cursor, limit: limit + 1 });
    const page = rows.slice(0, limit);
    const last = rows.length > limit ? page.at(-1) : undefined;
    const probes = page.map((row) => present(row, keys.hmac, versions));
    return context.json({ probes, cursor: last ? String(last.id) : null }, 200);
  });
  app.openapi(get, async (context) => context.json(await one(context, context.req.valid('param').id), 200));
  app.openapi(approve, async (context) =>
    context.json(await change(context, context.req.valid('param').id, 'approve'), 200),
  );
  app.openapi(revoke, async (context) => {
    const { reason } = context.req.valid('json') ?? {};
    return context.json(await change(context, context.req.valid('param').id, 'revoke', reason), 200);
  });
  return app;
}

const everywhere = { regions: null, status: null, before: null } as const;

function present(row: ProbeDetails, hmac: Uint8Array, versions: ProbeVersions): z.output<typeof probeSchema> {
  const { mac, publicKey, regionId, networkState, networkSince, networkWhy, ...shown } = row;
  return {
    ...shown,
    network: networkState && {
      state: networkState,
      since: new Date(networkSince ?? 0).toISOString(),
      why: networkWhy ?? '',
    },
    trusted: probeRowHolds(hmac, row),
    createdAt: new Date(row.createdAt).toISOString(),
    revokedAt: iso(row.revokedAt),
    seenAt: iso(row.seenAt),
    leaseExpiresAt: iso(row.leaseExpiresAt),
    refusedFrom: iso(refusedFromMs(row.version, versions)),
  };
}

function iso(ms: number | null): string | null {
  return ms === null ? null : new Date(ms).toISOString();
}
