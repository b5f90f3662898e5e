import { createRoute, z } from '@hono/zod-openapi';
import { streamSSE } from 'hono/streaming';
import { orderMs } from '../../shared/order.ts';
import type { HubContext } from '../context.ts';
import { followOrder } from '../orders/follow-order.ts';
import { placeOrder } from '../orders/place-order.ts';
import { readOrder } from '../orders/read-order.ts';
import { Problem } from '../problem.ts';
import type { OrderAnswerRow } from '../store/list-order-answers.ts';
import { createSecretBox } from '../trust/sealed-secrets.ts';
import { apiRouter, requireRegion, requireScope } from './operator.ts';

export type ChecksApiContext = Pick<HubContext, 'db' | 'registry' | 'changes' | 'stopping'> & {
  readonly config: Pick<HubContext['config'], 'secret'>;
};

const mostRegions = 50;
const mostStreams = 200;

const order = createRoute({
  method: 'post',
  path: '/api/v1/checks',
  tags: ['Checks'],
  summary: 'Check something now, from chosen regions',
  description:
    'One probe of each region runs it at once, within its own policy; each result is sent as it comes (server-sent events `ordered`, `result`, `done`), for 10 seconds at most. Nothing is stored. Takes the scope write.',
  request: {
    body: {
      required: true,
      content: {
        'application/json': {
          schema: z
            .object({
              regions: z
                .array(z.string().max(63))
                .min(1)
                .max(mostRegions)
                .openapi({ example: ['eu-west'] }),
              url: z.string().max(2048).optional().openapi({ example: 'https://shop.example/' }),
              endpoint: z
                .looseObject({})
                .optional()
                .openapi({ description: 'An endpoint document in place of a bare URL; it needs no name.' }),
            })
            .openapi('CheckOrder'),
        },
      },
    },
  },
  responses: {
    200: {
      description: 'Server-sent events',
      content: { 'text/event-stream': { schema: z.string() } },
    },
    409: { description: 'No probe is about in these regions' },
    429: { description: 'Too many checks in this minute' },
  },
});

export function checksApi({ db, registry, changes, stopping, config }: ChecksApiContext) {
  const app = apiRouter();
  const box = createSecretBox(config.secret);
  let streams = 0;

  app.openapi(order, async (context) => {
    const operator = requireScope(context, 'write');
    const { regions: names, url, endpoint: document } = context.req.valid('json');
    for (const name of names) requireRegion(operator, name);
    const regions = [...new Set(names)].map((name) => {
      const region = registry.regions().find((one) => one.name === name);
      if (!region) throw new Problem(404, 'region.unknown', `there is no region ${name}`);
      return region;
    });
    const endpoint = readOrder(url, document);
    if (streams >= mostStreams) {
      throw new Problem(503, 'check.busy', 'too many checks on demand run now: ask again', {
        headers: { 'retry-after': '5' },
      });
    }
    const placed = await placeOrder({ db }, box, {
      endpoint,
      regions,
      askedBy: operator.actor,
      remoteIp: context.get('remoteIp'),
    });
    context.header('cache-control', 'no-store');
    const nameOf = (id: number) => regions.find((region) => region.id === id)?.name ?? String(id);
    return streamSSE(context, async (stream) => {
      streams += 1;
      const gone = new AbortController();
      stream.onAbort(() => gone.abort());
      try {
        const say = (event: string, data: object) => stream.writeSSE({ event, data: JSON.stringify(data) });
        const asked = placed.probes.map(({ id, regionId }) => ({
          region: nameOf(regionId),
          probe: registry.probeById(id)?.name ?? null,
          probeId: id,
        }));
        await say('ordered', { asked, empty: placed.empty, withinMs: orderMs });
        const told = new Set<number>();
        for await (const row of followOrder({ db, changes, stopping }, placed, gone.signal)) {
          told.add(row.probeId);
          await say('result', {
            ...resultOf(row),
            region: nameOf(row.regionId),
            probe: registry.probeById(row.probeId)?.name ?? null,
          });
        }
        const silent = asked.filter(({ probeId }) => !told.has(probeId));
        await say('done', { answered: told.size, silent: silent.map(({ region }) => region) });
      } finally {
        streams -= 1;
      }
    }) as never;
  });
  return app;
}

function resultOf({ probeId, answer }: OrderAnswerRow) {
  const { startedAt, suspect, observation } = answer;
  return { probeId, startedAt, suspect, ...observation };
}
