import { createRoute, z } from '@hono/zod-openapi';
import { duration } from '../../shared/duration.ts';
import { regionNameSchema } from '../../shared/endpoint.ts';
import type { HubContext } from '../context.ts';
import { Problem } from '../problem.ts';
import type { EnrollmentRow } from '../store/enrollment-row.ts';
import { insertAudit } from '../store/insert-audit.ts';
import { listEnrollments } from '../store/list-enrollments.ts';
import { lockEnrollment } from '../store/lock-enrollment.ts';
import { revokeEnrollment } from '../store/revoke-enrollment.ts';
import { mintEnrollment } from '../trust/mint-enrollment.ts';
import { apiRouter, requireRegion, requireScope } from './operator.ts';

const tags = ['Enrollments'];
const instant = z.iso.datetime().openapi({ example: '2026-03-01T12:00:00.000Z' });

const enrollmentSchema = z
  .object({
    jti: z.uuid(),
    region: z.string().openapi({ example: 'eu-west' }),
    uses: z.int().openapi({ description: 'How many probes may come in by it.' }),
    used: z.int(),
    approve: z.boolean().openapi({ description: 'Its probes stay idle until an operator approves them.' }),
    state: z.enum(['open', 'spent', 'expired', 'revoked']),
    createdBy: z.string(),
    createdAt: instant,
    expiresAt: instant,
    revokedAt: instant.nullable(),
  })
  .openapi('Enrollment');

const mintSchema = z
  .strictObject({
    region: regionNameSchema.meta({ example: 'eu-west' }),
    uses: z.int().min(1).max(10_000).default(1),
    ttl: duration('1m', '1d').default(3_600_000).openapi({ type: 'string', example: '1h' }),
    approve: z.boolean().default(false),
  })
  .openapi('EnrollmentRequest');

const mint = createRoute({
  method: 'post',
  path: '/api/v1/enrollments',
  tags,
  summary: 'Make a token that lets probes into a region',
  description:
    'A region that is new is made. The token is shown this once and kept nowhere. Takes the scope admin.',
  request: { body: { required: true, content: { 'application/json': { schema: mintSchema } } } },
  responses: {
    201: {
      description: 'The token',
      content: { 'application/json': { schema: enrollmentSchema.extend({ token: z.string() }) } },
    },
  },
});

const list = createRoute({
  method: 'get',
  path: '/api/v1/enrollments',
  tags,
  summary: 'List enrollment tokens, newest first',
  request: {
    query: z.object({
      limit: z.coerce.number().int().min(1).max(1000).default(100),
      cursor: z.uuid().optional(),
    }),
  },
  responses: {
    200: {
      description: 'Without the tokens themselves',
      content: {
        'application/json': {
          schema: z.object({
            enrollments: z.array(enrollmentSchema),
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

const revoke = createRoute({
  method: 'delete',
  path: '/api/v1/enrollments/{jti}',
  tags,
  summary: 'Revoke an enrollment token',
  description: 'No other probe comes in by it; those that did stay. Takes the scope admin.',
  request: { params: z.object({ jti: z.uuid() }) },
  responses: { 204: { description: 'Revoked, now or before' } },
});

type Needs = Pick<HubContext, 'db' | 'keys' | 'config' | 'now'>;

export function enrollmentsApi({ db, keys, config: { publicUrl }, now }: Needs) {
  const app = apiRouter();
  app.openapi(mint, async (context) => {
    const operator = requireScope(context, 'admin');
    const { ttl: ttlMs, ...request } = context.req.valid('json');
    requireRegion(operator, request.region);
    const by = { actor: operator.actor, remoteIp: context.get('remoteIp') ?? null };
    const { token, ...row } = await mintEnrollment({ db, keys, publicUrl, now }, { ...request, ttlMs }, by);
    return context.json({ ...present(row, now()), token }, 201, { 'cache-control': 'no-store' });
  });
  app.openapi(list, async (context) => {
    const { regions } = requireScope(context, 'read');
    const { limit, cursor = null } = context.req.valid('query');
    const rows = await listEnrollments(db, { regions, before: cursor, limit: limit + 1 });
    const page = rows.slice(0, limit);
    return context.json(
      {
        enrollments: page.map((row) => present(row, now())),
        cursor: rows.length > limit ? (page.at(-1)?.jti ?? null) : null,
      },
      200,
    );
  });
  app.openapi(revoke, async (context) => {
    const operator = requireScope(context, 'admin');
    const { jti } = context.req.valid('param');
    await db.transaction(async (sql) => {
      const row = await lockEnrollment(sql, jti);
      if (!row) throw new Problem(404, 'enrollment.unknown', `there is no enrollment ${jti}`);
      requireRegion(operator, row.region);
      if (row.revokedAt !== null) return;
      await revokeEnrollment(sql, jti);
      await insertAudit(sql, {
        actor: operator.actor,
        action: 'enrollment.revoke',
        subject: `enrollment:${jti}`,
        before: { region: row.region, uses: row.uses, used: row.used },
        remoteIp: context.get('remoteIp'),
      });
    });
    return context.body(null, 204);
  });
  return app;
}

function present(row: EnrollmentRow, nowUs: number): z.output<typeof enrollmentSchema> {
  const { createdAt, expiresAt, revokedAt, ...rest } = row;
  const state =
    revokedAt !== null
      ? 'revoked'
      : row.used >= row.uses
        ? 'spent'
        : nowUs >= expiresAt * 1000
          ? 'expired'
          : 'open';
  return {
    ...rest,
    state,
    createdAt: new Date(createdAt).toISOString(),
    expiresAt: new Date(expiresAt).toISOString(),
    revokedAt: revokedAt === null ? null : new Date(revokedAt).toISOString(),
  };
}
