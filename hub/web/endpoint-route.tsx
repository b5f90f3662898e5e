import { Hono } from 'hono';
import { type ApiEnv, requireScope } from '../api/operator.ts';
import type { Bus } from '../ingest/bus.ts';
import type { Database } from '../store/database.ts';
import { listEvidence } from '../store/list-evidence.ts';
import { listLastResults } from '../store/list-last-results.ts';
import type { Catalog } from '../trust/catalog.ts';
import type { Registry } from '../trust/registry.ts';
import type { Board } from './board.ts';
import { EndpointPage } from './endpoint-page.tsx';
import { asOf, healthOf } from './health.tsx';
import { type PrintPage, toSignIn } from './print-page.tsx';
import { isCheckedFrom, regionsFor, rowFor } from './scope.ts';
import { clocksOf, shownOfResult } from './shown-result.ts';

export interface EndpointRouteOptions {
  readonly db: Database;
  readonly board: Board;
  readonly catalog: Pick<Catalog, 'byId'>;
  readonly registry: Pick<Registry, 'regionById' | 'probeById'>;
  readonly bus: Pick<Bus, 'status'>;
  readonly print: PrintPage;
  /** Epoch seconds. */
  readonly seconds: () => number;
}

/** Lines of a page, of all its regions together: its first load stays small. */
const mostLines = 40;
const mostOfOne = 30;
const mostEvidence = 3;

/** GET /endpoints/:id, with ?region= for one region alone. */
export function endpointRoute(options: EndpointRouteOptions): Hono<ApiEnv> {
  const { db, board, catalog, registry, bus, print, seconds } = options;
  const app = new Hono<ApiEnv>();
  app.get('/endpoints/:id{[0-9]{1,15}}', async (context) => {
    if (!context.get('operator')) return toSignIn(context);
    const operator = requireScope(context, 'read');
    await board.refresh();
    const at = seconds();
    const visible = regionsFor(board, operator);
    const health = healthOf(board, bus.status(), at, visible);
    const endpoint = board.endpoint(Number(context.req.param('id')));
    if (!endpoint || (operator.regions && !isCheckedFrom(endpoint, visible))) {
      return print(
        context,
        { title: 'No such endpoint: Parallax', tab: 'tab.svg', at: 'Endpoint', health, againAfter: 0 },
        <div class="empty">
          <h1>There is no such endpoint</h1>
          <span>It was deleted, or is not yours to see.</span>
          <a class="btn" href="/">
            Show all
          </a>
        </div>,
        404,
      );
    }
    const regions = visible.filter(({ name }) => endpoint.regions?.has(name) ?? true);
    const asked = regions.find(({ name }) => name === context.req.query('region'));
    const looked = asked ? [asked] : regions;
    const ids = looked.map(({ id }) => id);
    const each = asked
      ? mostOfOne
      : Math.max(1, Math.min(10, Math.floor(mostLines / Math.max(1, ids.length))));
    const [rows, kept] = await Promise.all([
      listLastResults(db, endpoint.id, ids, each),
      listEvidence(db, {
        endpointId: endpoint.id,
        regionIds: ids,
        fromUs: null,
        toUs: null,
        after: null,
        limit: mostEvidence,
      }),
    ]);
    const clocks = clocksOf(board.probes());
    const row = rowFor(board, endpoint, regions, asOf(board, bus.status(), at));
    return print(
      context,
      {
        title: `${endpoint.name}: Parallax`,
        tab: row.state === 'down' ? 'tab-down.svg' : row.state === 'up' ? 'tab-up.svg' : 'tab.svg',
        at: 'Endpoint',
        health,
        againAfter: 0,
      },
      <EndpointPage
        row={row}
        rev={catalog.byId(endpoint.id)?.rev ?? 0}
        regions={regions}
        results={rows.map((result) => shownOfResult(registry, clocks, result))}
        evidence={kept.map(({ regionId, probeId, scheduledAt, content, result }) => ({
          region: registry.regionById(regionId)?.name ?? String(regionId),
          probe: registry.probeById(probeId)?.name ?? null,
          scheduledAt,
          code: result?.failure?.code ?? null,
          status: result?.status ?? null,
          evidence: content,
        }))}
        only={asked?.name ?? null}
        mayCheck={operator.scopes.some((scope) => scope !== 'read')}
        now={at}
      />,
    );
  });
  return app;
}
