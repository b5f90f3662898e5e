import { type Context, Hono } from 'hono';
import { streamSSE } from 'hono/streaming';
import { type ApiEnv, requireRegion, requireScope } from '../api/operator.ts';
import type { HubContext } from '../context.ts';
import { followOrder } from '../orders/follow-order.ts';
import { placeOrder } from '../orders/place-order.ts';
import { withinOrder } from '../orders/read-order.ts';
import { Problem } from '../problem.ts';
import { createSecretBox } from '../trust/sealed-secrets.ts';
import type { Board } from './board.ts';
import { endpointOfForm, fieldErrors, formOf } from './check-form.ts';
import { type CheckOutcome, CheckPage, type CheckProps, saysOf } from './check-page.tsx';
import { few, listed } from './figures.ts';
import { healthOf } from './health.tsx';
import { type PrintPage, toSignIn } from './print-page.tsx';
import { ResultLine, type ShownResult } from './result-line.tsx';
import type { PageEndpoint, PageRegion } from './row.ts';
import { isCheckedFrom, regionsFor } from './scope.ts';
import { clocksOf, shownOfAnswer } from './shown-result.ts';

export interface CheckRoutesOptions extends Pick<HubContext, 'db' | 'changes' | 'stopping'> {
  readonly board: Board;
  readonly catalog: Pick<HubContext['catalog'], 'reveal'>;
  readonly registry: Pick<HubContext['registry'], 'regionById' | 'probeById'>;
  readonly config: Pick<HubContext['config'], 'secret'>;
  readonly bus: Pick<HubContext['bus'], 'status'>;
  readonly print: PrintPage;
  /** Epoch seconds. */
  readonly seconds: () => number;
}

const mostAtOnce = 200;

/**
 * GET /check is the form, POST /check runs it. A browser without JavaScript gets the page again with all results, ten
 * seconds later at most; one with it asks for server-sent events and gets each result drawn as it comes. It is what
 * POST /api/v1/checks does, with the same limits, drawn by the hub, where strangers' text is escaped.
 */
export function checkRoutes(options: CheckRoutesOptions): Hono<ApiEnv> {
  const { db, board, bus, catalog, registry, changes, stopping, config, print, seconds } = options;
  const box = createSecretBox(config.secret);
  const app = new Hono<ApiEnv>();
  let running = 0;

  const show = (
    context: Context<ApiEnv>,
    visible: readonly PageRegion[],
    props: Omit<CheckProps, 'now' | 'regions'>,
    status: 200 | 400 | 409 | 429 | 503 = 200,
  ) =>
    print(
      context,
      {
        title: 'Check: Parallax',
        tab: 'tab.svg',
        at: 'Check',
        health: healthOf(board, bus.status(), seconds(), visible),
        againAfter: 0,
        tellsOrigin: true,
      },
      <CheckPage {...props} regions={visible} now={seconds()} />,
      status,
    );

  /** The endpoint that is named, where this operator may see it. */
  function endpointOf(context: Context<ApiEnv>, text: unknown, visible: readonly PageRegion[]) {
    if (text === undefined || text === '') return null;
    const endpoint = board.endpoint(Number(text));
    const mayAll = context.get('operator')?.regions === null;
    if (!endpoint || !(mayAll || isCheckedFrom(endpoint, visible)))
      throw new Problem(
        404,
        'endpoint.unknown',
        'there is no such endpoint: it was deleted, or is not yours to see',
      );
    return endpoint;
  }

  app.get('/check', async (context) => {
    if (!context.get('operator')) return toSignIn(context);
    const operator = requireScope(context, 'read');
    await board.refresh();
    const visible = regionsFor(board, operator);
    const endpoint = endpointOf(context, context.req.query('endpoint'), visible);
    const url = (context.req.query('url') ?? '').slice(0, 2048);
    const regions = visible.map(({ name }) => name);
    return show(context, visible, {
      form: { url, method: 'GET', status: '', regions },
      endpoint,
      mayCheck: operator.scopes.some((scope) => scope !== 'read'),
      errors: [],
      outcome: null,
    });
  });

  app.post('/check', async (context) => {
    const operator = requireScope(context, 'write');
    await board.refresh();
    const visible = regionsFor(board, operator);
    const fields = await context.req.parseBody({ all: true });
    const form = formOf(fields);
    const asEvents = (context.req.header('accept') ?? '').includes('text/event-stream');
    let endpoint: PageEndpoint | null = null;
    try {
      endpoint = endpointOf(context, fields.endpoint, visible);
      if (form.regions.length === 0) throw regionsProblem('choose at least one region');
      for (const name of form.regions) requireRegion(operator, name);
      const regions = form.regions.map((name) => {
        const region = visible.find((one) => one.name === name);
        if (!region) throw regionsProblem(`there is no region ${name}`);
        return region;
      });
      const asked = endpoint ? catalog.reveal(endpoint.id) : endpointOfForm(form);
      if (!asked) throw new Problem(409, 'endpoint.sealed', 'the secrets of this endpoint cannot be opened');
      if (running >= mostAtOnce)
        throw new Problem(503, 'check.busy', 'too many checks on demand run now: ask again');
      const placed = await placeOrder({ db }, box, {
        endpoint: withinOrder(asked),
        regions,
        askedBy: operator.actor,
        remoteIp: context.get('remoteIp'),
      });
      const nameOf = (id: number) => regions.find((region) => region.id === id)?.name ?? String(id);
      const names = placed.probes.map(({ regionId }) => nameOf(regionId));
      const clocks = clocksOf(board.probes());
      const silentOf = (results: readonly ShownResult[]) =>
        names.filter((name) => !results.some(({ region }) => region === name));
      if (!asEvents) {
        const results: ShownResult[] = [];
        running += 1;
        try {
          for await (const row of followOrder({ db, changes, stopping }, placed, context.req.raw.signal)) {
            results.push(shownOfAnswer(registry, clocks, row));
          }
        } finally {
          running -= 1;
        }
        const outcome: CheckOutcome = { results, empty: placed.empty, silent: silentOf(results) };
        return show(context, visible, { form, endpoint, mayCheck: true, errors: [], outcome });
      }
      context.header('cache-control', 'no-store');
      context.header('x-accel-buffering', 'no');
      return streamSSE(context, async (stream) => {
        running += 1;
        const gone = new AbortController();
        stream.onAbort(() => gone.abort());
        const say = (event: string, data: object) => stream.writeSSE({ event, data: JSON.stringify(data) });
        try {
          const results: ShownResult[] = [];
          await say('ordered', { regions: names, says: orderedText(names, placed.empty) });
          for await (const row of followOrder({ db, changes, stopping }, placed, gone.signal)) {
            const result = shownOfAnswer(registry, clocks, row);
            results.push(result);
            const line = (
              <ResultLine
                result={result}
                wholeUs={null}
                open={result.seen.outcome !== 'up'}
                now={seconds()}
              />
            );
            await say('result', { region: result.region, html: String(line) });
          }
          await say('done', { says: saysOf({ results, empty: placed.empty, silent: silentOf(results) }) });
        } finally {
          running -= 1;
        }
      });
    } catch (error) {
      if (!(error instanceof Problem) || error.status === 401 || error.status === 403) throw error;
      const errors = fieldErrors(error);
      if (asEvents) {
        return context.json({ errors }, error.status as 400, error.headers);
      }
      for (const [name, value] of Object.entries(error.headers)) context.header(name, value);
      return show(
        context,
        visible,
        { form, endpoint, mayCheck: true, errors, outcome: null },
        error.status as 400,
      );
    }
  });
  return app;
}

function regionsProblem(message: string): Problem {
  return new Problem(400, 'request.invalid', message, { extra: { errors: [{ path: 'regions', message }] } });
}

function orderedText(names: readonly string[], empty: readonly string[]): string {
  const asked = `${few(names.length, 'probe is', 'probes are')} asked: ${listed(names, 12)}. It waits 10 s at most.`;
  return empty.length > 0 ? `${asked} No probe is about in ${listed(empty, 12)}.` : asked;
}
