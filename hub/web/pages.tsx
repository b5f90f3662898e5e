import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { type Context, Hono } from 'hono';
import type { Child } from 'hono/jsx';
import type { Logger } from 'pino';
import { type ApiEnv, type Operator, requireScope, scopes } from '../api/operator.ts';
import type { Bus } from '../ingest/bus.ts';
import { Problem } from '../problem.ts';
import { type AssetFile, acceptsGzip, createAssets } from './assets.ts';
import { type BoardOptions, startBoard } from './board.ts';
import { embeddedFiles } from './embedded-files.ts';
import { asOf, healthOf } from './health.tsx';
import { Layout, type LayoutProps } from './layout.tsx';
import { type LiveOptions, maxWatched, startLive } from './live.tsx';
import { NowPage } from './now-page.tsx';
import { ProbesPage } from './probes-page.tsx';
import { endpointsFor, glanceFor, regionsFor, rowFor, viewsFor } from './scope.ts';
import { countStates, inMatrixOrder, select, selectionOf, showing } from './selection.ts';
import { SignInPage } from './sign-in-page.tsx';
import { emptySpark, sparkPaths } from './spark.ts';
import { titleOf } from './summary.tsx';

export interface PagesOptions
  extends Omit<BoardOptions, 'log'>,
    Pick<LiveOptions, 'maxClients' | 'maxWaiting' | 'stuckMs' | 'streamMs'> {
  readonly log: Pick<Logger, 'warn'>;
  readonly bus: Pick<Bus, 'status'>;
  /** Aborted when the hub stops: streams end, reading ends. */
  readonly stopping: AbortSignal;
  /** For the browser; the ones in the bundle unless given. */
  readonly files?: readonly AssetFile[];
}

const zip = promisify(gzip);

/** GET /, /probes, /sign-in, /events and /assets/: whoever is not signed in is sent to /sign-in. */
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

  const page = async (
    context: Context<ApiEnv>,
    layout: Omit<LayoutProps, 'assets' | 'drawnAt' | 'children'>,
    children: Child,
  ): Promise<Response> => {
    const document = (
      <Layout {...layout} assets={assets} drawnAt={seconds()}>
        {children}
      </Layout>
    );
    const html = `<!doctype html>${await document}`;
    const headers = {
      'content-type': 'text/html; charset=utf-8',
      'cache-control': 'no-store',
      'content-security-policy': contentSecurityPolicy,
      'referrer-policy': 'no-referrer',
      'x-content-type-options': 'nosniff',
      vary: 'accept-encoding',
    };
    if (!acceptsGzip(context.req.header('accept-encoding'))) return context.body(html, 200, headers);
    const zipped = await zip(html, { level: 3 });
    return context.body(new Uint8Array(zipped), 200, { ...headers, 'content-encoding': 'gzip' });
  };

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

  app.route('/', assets.routes);
  return app;
}

/** Nothing of another host, nothing inline: what strangers wrote can at most be read. */
const contentSecurityPolicy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "form-action 'self'",
  "base-uri 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
  'trusted-types parallax',
].join('; ');

function toSignIn(context: Context<ApiEnv>): Response {
  const { pathname, search } = new URL(context.req.url);
  const to = `${pathname}${search}`;
  return context.redirect(to === '/' ? '/sign-in' : `/sign-in?to=${encodeURIComponent(to)}`, 303);
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
