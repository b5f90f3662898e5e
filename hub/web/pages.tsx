import { Hono } from 'hono';
import type { Logger } from 'pino';
import { type ApiEnv, type Operator, requireScope, scopes } from '../api/operator.ts';
import type { HubConfig } from '../config.ts';
import type { Bus } from '../ingest/bus.ts';
import { Problem } from '../problem.ts';
import type { Changes } from '../store/changes.ts';
import type { Catalog } from '../trust/catalog.ts';
import type { Registry } from '../trust/registry.ts';
import { type AssetFile, createAssets } from './assets.ts';
import { type BoardOptions, startBoard } from './board.ts';
import { checkRoutes } from './check-routes.tsx';
import { embeddedFiles } from './embedded-files.ts';
import { endpointRoute } from './endpoint-route.tsx';
import { asOf, healthOf } from './health.tsx';
import { type LiveOptions, maxWatched, startLive } from './live.tsx';
import { NowPage } from './now-page.tsx';
import { createPrintPage, toSignIn } from './print-page.tsx';
import { probeRoute } from './probe-route.tsx';
import { ProbesPage } from './probes-page.tsx';
import { endpointsFor, glanceFor, regionsFor, rowFor, viewsFor } from './scope.ts';
import { countStates, inMatrixOrder, select, selectionOf, showing } from './selection.ts';
import { SignInPage } from './sign-in-page.tsx';
import { emptySpark, sparkPaths } from './spark.ts';
import { titleOf } from './summary.tsx';

export interface PagesOptions
  extends Omit<BoardOptions, 'log' | 'catalog' | 'registry'>,
    Pick<LiveOptions, 'maxClients' | 'maxWaiting' | 'stuckMs' | 'streamMs'> {
  readonly log: Pick<Logger, 'warn'>;
  readonly catalog: Pick<Catalog, 'all' | 'subscribe' | 'byId' | 'reveal'>;
  readonly registry: Pick<Registry, 'regions' | 'regionById' | 'probeById'>;
  readonly config: Pick<HubConfig, 'secret'>;
  readonly changes: Changes;
  readonly bus: Pick<Bus, 'status'>;
  /** Aborted when the hub stops: streams end, reading ends. */
  readonly stopping: AbortSignal;
  /** For the browser; the ones in the bundle unless given. */
  readonly files?: readonly AssetFile[];
}

/** GET /, /endpoints/:id, /check, /probes, /probes/:id, /sign-in, /events and /assets/: whoever is not signed in is sent to /sign-in. */
export function pageRoutes(options: PagesOptions): Hono<ApiEnv> {
  const { bus, now, stopping, log } = options;
  const board = startBoard(options);
  const live = startLive({ ...options, board });
  const assets = createAssets(options.files ?? embeddedFiles);
  const seconds = () => now() / 1e6;
  stopping.addEventListener(
    'abort',
    () => {
      live.stop();
      void board.stop();
    },
    { once: true },
  );
  // The first page after a start need not wait for all of the table.
  if (!stopping.aborted) {
    void board
      .refresh()
      .catch((error: Error) => log.warn({ err: error }, 'the live page cannot read results yet'));
  }

  const page = createPrintPage(assets, seconds);
  const app = new Hono<ApiEnv>();
  app.get('/', async (context) => {
    const operator = context.get('operator');
    if (!operator) return toSignIn(context);
    requireScope(context, 'read');
    await board.refresh();
    const version = live.version();
    const regions = regionsFor(board, operator);
    const at = seconds();
    const fresh = asOf(board, bus.status(), at);
    const sky = endpointsFor(board, operator, regions).map((endpoint) =>
      glanceFor(board, endpoint, regions, fresh),
    );
    const rows = inMatrixOrder(sky);
    const selection = selectionOf(new URL(context.req.url).searchParams);
    const found = select(rows, selection, ({ endpoint }) =>
      viewsFor(board, endpoint, regions, fresh).flatMap(({ code }) => code ?? []),
    );
    const selected = showing(found, ({ endpoint }) => rowFor(board, endpoint, regions, fresh));
    const sparks = await board.sparks(
      selected.groups.flatMap((group) => group.rows.map(({ endpoint }) => endpoint)),
    );
    const seen = new Set(regions.map(({ id }) => id));
    const counts = countStates(rows);
    return page(
      context,
      {
        title: titleOf(counts),
        tab: counts.down > 0 ? 'tab-down.svg' : counts.up > 0 ? 'tab-up.svg' : 'tab.svg',
        at: 'Now',
        health: healthOf(board, bus.status(), at, regions),
        againAfter: 30,
      },
      <NowPage
        rows={rows}
        sky={sky}
        regions={regions}
        selection={selection}
        selected={selected}
        now={at}
        version={version}
        spark={({ endpoint }) =>
          sparkPaths(
            sparks.get(endpoint.id) ?? emptySpark(),
            Math.floor((at * 1000) / endpoint.intervalMs),
            (id) => seen.has(id),
          )
        }
      />,
    );
  });

  app.get('/probes', async (context) => {
    const operator = context.get('operator');
    if (!operator) return toSignIn(context);
    requireScope(context, 'read');
    await board.refresh();
    await board.refreshProbes();
    const regions = regionsFor(board, operator);
    const at = seconds();
    const health = healthOf(board, bus.status(), at, regions);
    return page(
      context,
      { title: 'Probes: Parallax', tab: 'tab.svg', at: 'Probes', health, againAfter: 30 },
      <ProbesPage probes={board.probes()} regions={regions} admin={isAdmin(operator)} now={at} />,
    );
  });

  app.get('/sign-in', (context) =>
    page(
      context,
      { title: 'Sign in: Parallax', tab: 'tab.svg', at: null, health: null, againAfter: 0 },
      <SignInPage />,
    ),
  );

  app.get('/events', async (context) => {
    const operator = requireScope(context, 'read');
    const query = new URL(context.req.url).searchParams;
    const endpointIds = idsOf(query.get('rows') ?? '');
    await board.refresh();
    return live.open({
      operator,
      endpointIds,
      probes: query.has('probes'),
      admin: isAdmin(operator),
      since: context.req.header('last-event-id') ?? query.get('since') ?? '',
    });
  });

  app.route('/', endpointRoute({ ...options, board, print: page, seconds }));
  app.route('/', probeRoute({ board, bus, print: page, seconds }));
  app.route('/', checkRoutes({ ...options, board, print: page, seconds }));
  app.route('/', assets.routes);
  return app;
}

function isAdmin(operator: Operator): boolean {
  return operator.scopes.includes(scopes[0]);
}

/** `1,2,3`; a page never asks for more than it has. */
function idsOf(text: string): readonly number[] {
  const ids = text === '' ? [] : text.split(',').map(Number);
  if (ids.length > maxWatched || ids.some((id) => !Number.isSafeInteger(id) || id < 1)) {
    throw new Problem(
      400,
      'live.rows',
      `rows are at most ${maxWatched} ids of endpoints with commas between`,
    );
  }
  return [...new Set(ids)];
}
