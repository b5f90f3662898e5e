import { createRoute, z } from '@hono/zod-openapi';
import { failureCodes, failureSources, outcomes } from '../../shared/failure.ts';
import { type Result, resultKinds } from '../../shared/result.ts';
import type { HubContext } from '../context.ts';
import { Problem } from '../problem.ts';
import { findEndpointId } from '../store/find-endpoint-id.ts';
import { listResults, type ResultsCursor, type ResultsQuery } from '../store/list-results.ts';
import type { Registry } from '../trust/registry.ts';
import { readCursor, writeCursor } from './cursor.ts';
import { apiRouter, type Operator, requireRegion, requireScope } from './operator.ts';

export const us = z.int().openapi({ example: 1_780_000_000_000_000, description: 'Epoch microseconds' });
const spanUs = z
  .int()
  .nullable()
  .openapi({ example: 1234, description: 'Microseconds; null where not reached' });
const failureCode = z.enum(failureCodes as [(typeof failureCodes)[number], ...typeof failureCodes]);

export const resultSchema = z
  .object({
    endpoint: z.string().openapi({ example: 'shop' }),
    endpointId: z.int(),
    rev: z.int(),
    region: z.string().openapi({ example: 'eu-west' }),
    probe: z
      .string()
      .nullable()
      .openapi({ example: 'fra-1', description: 'Null for one the hub no longer trusts' }),
    probeId: z.int(),
    kind: z.enum(resultKinds),
    scheduledAt: us,
    startedAt: us,
    attempts: z.int(),
    outcome: z.enum(outcomes),
    failure: z.object({ code: failureCode, source: z.enum(failureSources), message: z.string() }).nullable(),
    firstFailure: failureCode.nullable(),
    suspect: z.boolean(),
    status: z.int().nullable(),
    httpVersion: z.string().nullable(),
    remoteIp: z.string().nullable(),
    redirects: z.int(),
    timings: z.object({
      dns: spanUs,
      connect: spanUs,
      tls: spanUs,
      wait: spanUs,
      transfer: spanUs,
      total: z.int().openapi({ example: 45_678 }),
    }),
    bytes: z.int(),
    truncated: z.boolean(),
    tls: z
      .object({
        version: z.string(),
        cipher: z.string(),
        notAfter: z.int().openapi({ description: 'Epoch seconds' }),
        issuer: z.string(),
        fingerprint: z.string(),
      })
      .nullable(),
    facts: z
      .record(z.string(), z.unknown())
      .nullable()
      .openapi({ description: 'What the protocol alone has to tell, such as rcode and answers of dns' }),
    lateBy: z.int().openapi({ description: 'Microseconds between the slot and the start' }),
  })
  .openapi('Result');

/** An instant as people or programs write it, in epoch microseconds. */
export const instant = z
  .string()
  .max(40)
  .transform((text, context) => {
    const ms = /^\d{13,17}$/.test(text) ? Number(text) / 1000 : Date.parse(text);
    if (Number.isFinite(ms) && Math.abs(ms) < 8.64e15) return Math.round(ms * 1000);
    context.issues.push({
      code: 'custom',
      input: text,
      message: 'an instant is written 2026-03-01T12:00:00Z, or in epoch microseconds',
    });
    return z.NEVER;
  });

const list = createRoute({
  method: 'get',
  path: '/api/v1/results',
  tags: ['Results'],
  summary: "An endpoint's results, newest first",
  request: {
    query: z.object({
      endpoint: z.string().min(1).max(100).openapi({ example: 'shop' }),
      region: z.string().max(63).optional().openapi({ example: 'eu-west' }),
      from: instant
        .optional()
        .openapi({ type: 'string', example: '2026-03-01T12:00:00Z', description: 'Inclusive' }),
      to: instant.optional().openapi({ type: 'string', description: 'Exclusive' }),
      limit: z.coerce.number().int().min(1).max(1000).default(100),
      cursor: z
        .string()
        .max(200)
        .optional()
        .openapi({ description: "From the page before, with the page's other words" }),
    }),
  },
  responses: {
    200: {
      description: 'A page of results',
      content: {
        'application/json': {
          schema: z.object({
            results: z.array(resultSchema),
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

const placeSchema = z.tuple([
  z.int().min(0).max(8_640_000_000_000_000),
  z.int().min(0).max(32_767),
  z.int().min(0),
]);

function placeOf([scheduledAt, regionId, probeId]: z.output<typeof placeSchema>): ResultsCursor {
  return { scheduledAt, regionId, probeId };
}

type Needs = Pick<HubContext, 'db' | 'registry'>;

/** The regions that this operator may read, or the one that is asked for. Throws Problem 403 or 404. */
function regionIdsFor(registry: Registry, operator: Operator, region: string | undefined): number[] {
  if (region !== undefined) requireRegion(operator, region);
  const seen = registry
    .regions()
    .filter(({ name }) =>
      region === undefined ? (operator.regions?.includes(name) ?? true) : name === region,
    );
  if (region !== undefined && seen.length === 0) {
    throw new Problem(404, 'region.unknown', `there is no region ${region}`);
  }
  return seen.map(({ id }) => id);
}

/** What the query of a page asks of the store: one row more than the page, which tells whether another follows. */
export async function queryOf(
  { db, registry }: Needs,
  operator: Operator,
  { endpoint, region, from, to, limit, cursor }: PageQuery,
): Promise<ResultsQuery> {
  const regionIds = regionIdsFor(registry, operator, region);
  const endpointId = await findEndpointId(db, endpoint);
  if (endpointId === null) throw new Problem(404, 'endpoint.unknown', `there is no endpoint ${endpoint}`);
  const after = cursor === undefined ? null : placeOf(readCursor(cursor, placeSchema));
  return { endpointId, regionIds, fromUs: from ?? null, toUs: to ?? null, after, limit: limit + 1 };
}

interface PageQuery {
  readonly endpoint: string;
  readonly region?: string | undefined;
  /** Epoch microseconds. */
  readonly from?: number | undefined;
  readonly to?: number | undefined;
  readonly limit: number;
  readonly cursor?: string | undefined;
}

/** Leads on from the last row of a page of `limit`; null where none follows. */
export function cursorOf(rows: readonly ResultsCursor[], limit: number): string | null {
  const last = rows.length > limit ? rows[limit - 1] : undefined;
  return last ? writeCursor([last.scheduledAt, last.regionId, last.probeId]) : null;
}

/** Under the names people use; what was seen of a failure has an address of its own. */
export function presentResult(
  registry: Registry,
  endpoint: string,
  { regionId, evidence: _, ...result }: Result,
): z.output<typeof resultSchema> {
  return {
    ...result,
    endpoint,
    region: registry.regionById(regionId)?.name ?? String(regionId),
    probe: registry.probeById(result.probeId)?.name ?? null,
  };
}

/** Rows as PostgreSQL has them under the names people use. */
export function resultsApi({ db, registry }: Needs) {
  const app = apiRouter();

  app.openapi(list, async (context) => {
    const operator = requireScope(context, 'read');
    const asked = context.req.valid('query');
    const { endpoint, limit } = asked;
    const rows = await listResults(db, await queryOf({ db, registry }, operator, asked));
    return context.json(
      {
        results: rows.slice(0, limit).map((row) => presentResult(registry, endpoint, row)),
        cursor: cursorOf(rows, limit),
      },
      200,
    );
  });
  return app;
}
