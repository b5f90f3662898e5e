import { Hono } from 'hono';
import { type ApiEnv, requireScope } from '../api/operator.ts';
import type { Bus } from '../ingest/bus.ts';
import type { Board } from './board.ts';
import { healthOf } from './health.tsx';
import { type PrintPage, toSignIn } from './print-page.tsx';
import { ProbePage } from './probe-page.tsx';
import { regionsFor } from './scope.ts';

export interface ProbeRouteOptions {
  readonly board: Board;
  readonly bus: Pick<Bus, 'status'>;
  readonly print: PrintPage;
  /** Epoch seconds. */
  readonly seconds: () => number;
}

/** GET /probes/:id */
export function probeRoute({ board, bus, print, seconds }: ProbeRouteOptions): Hono<ApiEnv> {
  const app = new Hono<ApiEnv>();
  app.get('/probes/:id{[0-9]{1,15}}', async (context) => {
    if (!context.get('operator')) return toSignIn(context);
    const operator = requireScope(context, 'read');
    await board.refresh();
    await board.refreshProbes();
    const visible = regionsFor(board, operator);
    const at = seconds();
    const health = healthOf(board, bus.status(), at, visible);
    const probe = board.probes().find(({ id }) => id === Number(context.req.param('id')));
    const region = visible.find(({ id }) => id === probe?.regionId);
    if (!probe || !region) {
      return print(
        context,
        { title: 'No such probe: Parallax', tab: 'tab.svg', at: 'Probe', health, againAfter: 0 },
        <div class="empty">
          <h1>There is no such probe</h1>
          <span>It was revoked more than a week ago, or is not yours to see.</span>
          <a class="btn" href="/probes">
            Show all
          </a>
        </div>,
        404,
      );
    }
    return print(
      context,
      { title: `${probe.name}: Parallax`, tab: 'tab.svg', at: 'Probe', health, againAfter: 30 },
      <ProbePage probe={probe} region={region.name} now={at} />,
    );
  });
  return app;
}
