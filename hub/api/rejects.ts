import { createRoute, z } from '@hono/zod-openapi';
import type { HubContext } from '../context.ts';
import { type RejectReason, rejectReasons } from '../ingest/reject.ts';
import { wordsOfReject } from '../ingest/reject-words.ts';
import { Problem } from '../problem.ts';
import { listOpenHoles } from '../store/list-open-holes.ts';
import {
  findRejectContent,
  isProbeThere,
  listRejectCounts,
  listRejects,
  type RejectFilter,
} from '../store/list-rejects.ts';
import { readCursor, writeCursor } from './cursor.ts';
import { apiRouter, requireRegion, requireScope } from './operator.ts';

const tags = ['Rejects'];
const instant = z.iso.datetime().openapi({ example: '2026-03-01T12:00:00.000Z' });
const reason = z.enum(rejectReasons).openapi({ example: 'endpoint_not_in_region' });
const whose = {
  reason,
  probeId: z.int().nullable().openapi({ description: 'Null where nobody is proven to have sent it.' }),
  probe: z.string().nullable().openapi({ example: 'fra-1' }),
  region: z.string().nullable().openapi({ example: 'eu-west' }),
};

const countSchema = z
  .object({
    hour: instant.openapi({ description: 'When the hour began.' }),
    ...whose,
    of: z.enum(['speaker', 'batch', 'result']).openapi({ description: 'What one of them is.' }),
    count: z.int(),
    means: z.string(),
    advice: z.string().openapi({ description: 'What to do.' }),
  })
  .openapi('RejectCount');

const sampleSchema = z
  .object({
    id: z.int(),
    at: instant,
    ...whose,
    detail: z.string(),
    kid: z.string().nullable(),
    stream: z.string().nullable(),
    seq: z.int().nullable(),
    topic: z.string().nullable(),
    partition: z.int().nullable(),
    offset: z.int().nullable(),
    contentBytes: z.int().openapi({ description: 'What was kept of it: see its content.' }),
  })
  .openapi('Reject');

const holeSchema = z
  .object({
    stream: z.string(),
    probeId: z.int(),
    probe: z.string(),
    fromSeq: z.int().openapi({ description: 'First and last batch of the lowest hole.' }),
    toSeq: z.int(),
  })
  .openapi('StreamHole');

const list = createRoute({
  method: 'get',
  path: '/api/v1/rejects',
  tags,
  summary: 'What was refused, of which probe and why',
  description:
    'All are counted by the hour; of each hour, reason and probe the first hundred are kept as samples. A token for some regions sees what probes of these sent.',
  request: {
    query: z.object({
      probe: z.string().min(1).max(200).optional().openapi({ description: 'Id or name.' }),
      reason: reason.optional(),
      region: z.string().optional(),
      since: instant.optional().openapi({ description: 'An hour ago unless given; its whole hour counts.' }),
      limit: z.coerce.number().int().min(0).max(200).default(20).openapi({ description: 'Samples.' }),
      cursor: z.string().max(200).optional(),
    }),
  },
  responses: {
    200: {
      description: 'Counts by the hour, newest first, and samples, newest first',
      content: {
        'application/json': {
          schema: z.object({
            since: instant,
            counts: z.array(countSchema),
            samples: z.array(sampleSchema),
            holes: z.array(holeSchema).openapi({ description: 'Streams in which something is missing now.' }),
            cursor: z
              .string()
              .nullable()
              .openapi({ description: 'Leads to older samples; null on the last.' }),
          }),
        },
      },
    },
    404: { description: 'There is no such probe' },
  },
});

const content = createRoute({
  method: 'get',
  path: '/api/v1/rejects/{id}/content',
  tags,
  summary: 'What was refused, as far as it was kept',
  description: 'The bytes as they came, or JSON of one result: what a stranger wrote. Takes the scope admin.',
  request: {
    params: z.object({ id: z.coerce.number().int().positive().max(Number.MAX_SAFE_INTEGER) }),
  },
  responses: {
    200: {
      description: 'The content',
      content: { 'application/octet-stream': { schema: z.string().openapi({ format: 'binary' }) } },
    },
  },
});

/** Counts of one answer: a day of a hundred probes with ten reasons each. */
const maxCounts = 24_000;
const maxHoles = 100;
const hourMs = 3_600_000;
const placeSchema = z.tuple([z.int().positive()]);

export function rejectsApi({ db, now }: Pick<HubContext, 'db' | 'now'>) {
  const app = apiRouter();

  app.openapi(list, async (context) => {
    const operator = requireScope(context, 'read');
    const { probe = null, reason: only = null, region, since, limit, cursor } = context.req.valid('query');
    if (region !== undefined) requireRegion(operator, region);
    const regions = region === undefined ? operator.regions : [region];
    const from = since ?? new Date(now() / 1000 - hourMs).toISOString();
    const filter: RejectFilter = { since: new Date(from), probe, reason: only, regions };
    const [before] = cursor === undefined ? [null] : readCursor(cursor, placeSchema);
    const [counts, rows, holes] = await Promise.all([
      listRejectCounts(db, filter, maxCounts),
      limit === 0 ? [] : listRejects(db, filter, before, limit + 1),
      listOpenHoles(db, maxHoles, { probe, regions }),
    ]);
    // Nothing of a name that was mistyped would read as "all is well"; one that was deleted left its counts.
    const found = counts.length + rows.length + holes.length;
    if (probe !== null && found === 0 && !(await isProbeThere(db, probe, regions))) {
      throw new Problem(404, 'probe.unknown', `there is no probe ${probe}`);
    }
    const page = rows.slice(0, limit);
    const last = rows.length > limit ? page.at(-1) : undefined;
    return context.json(
      {
        since: from,
        counts: counts.map((row) => ({
          ...row,
          hour: row.hour.toISOString(),
          reason: row.reason as RejectReason,
          ...wordsOfReject(row.reason),
        })),
        samples: page.map((row) => ({
          ...row,
          at: row.at.toISOString(),
          reason: row.reason as RejectReason,
        })),
        holes: holes.map((hole) => ({
          stream: hole.stream,
          probeId: hole.probe_id,
          probe: hole.probe,
          fromSeq: hole.from_seq,
          toSeq: hole.to_seq,
        })),
        cursor: last ? writeCursor([last.id]) : null,
      },
      200,
    );
  });

  app.openapi(content, async (context) => {
    const operator = requireScope(context, 'admin');
    const { id } = context.req.valid('param');
    const found = await findRejectContent(db, id);
    if (!found)
      throw new Problem(404, 'reject.unknown', `there is no reject ${id}: it may be past retention`);
    if (operator.regions) requireRegion(operator, found.region ?? '');
    return context.body(new Uint8Array(found.content ?? []), 200, {
      'content-type': 'application/octet-stream',
      // A stranger's bytes: never shown in place.
      'content-disposition': `attachment; filename="reject-${id}.bin"`,
      'x-content-type-options': 'nosniff',
      'cache-control': 'no-store',
    });
  });
  return app;
}
