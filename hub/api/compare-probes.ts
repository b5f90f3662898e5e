import { createRoute, z } from '@hono/zod-openapi';
import { failureCodes, outcomes } from '../../shared/failure.ts';
import { compareProbes, phases } from '../compare/compare-probes.ts';
import type { HubContext } from '../context.ts';
import { Problem } from '../problem.ts';
import { listSamples } from '../store/list-samples.ts';
import type { TrustedEndpoint } from '../trust/catalog.ts';
import type { RegisteredProbe } from '../trust/registry.ts';
import { apiRouter, type Operator, requireRegion, requireScope } from './operator.ts';

/** Rows of one probe that one answer is made of: more say nothing new, and take a second to sort. */
const mostSamples = 40_000;
const mostEndpoints = 200;
const usPerSecond = 1_000_000;
const longestSeconds = 35 * 86_400;

const us = z.int().openapi({ description: 'Microseconds', example: 1234 });
const id = z.coerce.number().int().positive().max(Number.MAX_SAFE_INTEGER);
const side = z.object({ count: z.int(), medianUs: us, p95Us: us });
const shares = z.object({
  id: z.int(),
  name: z.string(),
  region: z.string(),
  results: z.int(),
  suspect: z.int(),
  skipped: z.int(),
});
const said = z.object({
  outcome: z.enum(outcomes),
  code: z.enum(failureCodes as [(typeof failureCodes)[number], ...typeof failureCodes]).nullable(),
});

const comparisonSchema = z
  .object({
    a: shares,
    b: shares,
    from: us,
    to: us,
    endpoints: z.int().openapi({ description: 'Those that both have measured often enough.' }),
    endpointsLeftOut: z.int().openapi({ description: 'Shared ones past the first 200.' }),
    phases: z.array(
      z.object({
        phase: z.enum(phases),
        a: side,
        b: side,
        ratio: z.object({ value: z.number(), low: z.number(), high: z.number() }).nullable().openapi({
          description:
            'How many times as long b takes, endpoint by endpoint, with its 95% interval; null where there is too little.',
        }),
      }),
    ),
    outcomes: z.object({
      pairs: z
        .int()
        .openapi({ description: 'Slots that both ran and that are neither suspect nor skipped.' }),
      onlyAFails: z.int(),
      onlyBFails: z.int(),
      examples: z.array(z.object({ endpoint: z.string(), scheduledAt: us, a: said, b: said })),
    }),
    tooLittle: z.string().nullable().openapi({ description: 'Why nothing can be said of their times.' }),
  })
  .openapi('ProbeComparison');

const compare = createRoute({
  method: 'get',
  path: '/api/v1/probes/{a}/compare/{b}',
  tags: ['Probes'],
  summary: 'Two probes on the same endpoints: times, outcomes, noise',
  description:
    'Both must check the same endpoints: from two regions, or in one with `replicas: 2`. Only slots count, and as times only what was good and not suspect.',
  request: {
    params: z.object({ a: id, b: id }),
    query: z.object({
      endpoint: z.string().min(1).max(100).optional().openapi({ description: 'This one alone.' }),
      seconds: z.coerce
        .number()
        .int()
        .min(1)
        .max(longestSeconds)
        .default(3600)
        .openapi({ description: 'How far back.' }),
    }),
  },
  responses: {
    200: {
      description: 'The comparison',
      content: { 'application/json': { schema: comparisonSchema } },
    },
  },
});

type Needs = Pick<HubContext, 'db' | 'registry' | 'catalog' | 'now'>;

export function compareProbesApi({ db, registry, catalog, now }: Needs) {
  const app = apiRouter();

  function probeFor(operator: Operator, probeId: number): RegisteredProbe & { readonly region: string } {
    const probe = registry.probeById(probeId);
    const region = probe && registry.regionById(probe.regionId)?.name;
    if (!probe || region === undefined)
      throw new Problem(404, 'probe.unknown', `there is no probe ${probeId}`);
    requireRegion(operator, region);
    return { ...probe, region };
  }

  /** By name: what both may have checked. */
  function sharedEndpoints(a: string, b: string, named: string | undefined): readonly TrustedEndpoint[] {
    const isOf = (one: TrustedEndpoint, region: string) => {
      const regions = catalog.regionsOf(one.id);
      return regions === 'all' || (regions?.has(region) ?? false);
    };
    const shared = [...catalog.all()].filter(
      (one) => (named === undefined || one.endpoint.name === named) && isOf(one, a) && isOf(one, b),
    );
    if (named !== undefined && shared.length === 0) {
      throw new Problem(404, 'endpoint.unknown', `there is no endpoint ${named} that both of them check`);
    }
    // Within one region only what two probes check at once can be compared; what was so yesterday, too.
    return shared.sort((x, y) => (x.endpoint.name < y.endpoint.name ? -1 : 1));
  }

  app.openapi(compare, async (context) => {
    const operator = requireScope(context, 'read');
    const { a: idA, b: idB } = context.req.valid('param');
    const { endpoint, seconds } = context.req.valid('query');
    if (idA === idB) throw new Problem(400, 'probe.same', 'a probe is not compared with itself');
    const [a, b] = [probeFor(operator, idA), probeFor(operator, idB)];
    const shared = sharedEndpoints(a.region, b.region, endpoint);
    const used = shared.slice(0, mostEndpoints);
    const endpoints = new Map(used.map((one) => [one.id, one.endpoint]));
    const toUs = now();
    const fromUs = toUs - seconds * usPerSecond;
    const samplesOf = ({ id: probeId, regionId }: RegisteredProbe) =>
      listSamples(db, {
        probeId,
        regionId,
        endpointIds: [...endpoints.keys()],
        fromUs,
        toUs,
        mostOfEach: Math.floor(mostSamples / Math.max(1, used.length)),
      });
    const [samplesA, samplesB] = [await samplesOf(a), await samplesOf(b)];
    const intervalUsOf = (of: number) => (endpoints.get(of)?.interval ?? 60_000) * 1000;
    const found = compareProbes(samplesA, samplesB, intervalUsOf);
    const who = ({ id: probeId, name, region }: typeof a) => ({ id: probeId, name, region });
    return context.json(
      {
        ...found,
        phases: [...found.phases],
        a: { ...who(a), ...found.a },
        b: { ...who(b), ...found.b },
        from: fromUs,
        to: toUs,
        endpointsLeftOut: shared.length - used.length,
        outcomes: {
          ...found.outcomes,
          examples: found.outcomes.examples.map(({ endpointId, ...example }) => ({
            endpoint: endpoints.get(endpointId)?.name ?? String(endpointId),
            ...example,
          })),
        },
      },
      200,
    );
  });
  return app;
}
