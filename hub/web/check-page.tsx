import type { PlacedOrder } from '../orders/place-order.ts';
import { listed } from './figures.ts';
import { ResultLine, ResultsHead, type ShownResult } from './result-line.tsx';
import type { PageEndpoint, PageRegion } from './row.ts';

/** What was written into the form: it stands there again when something was wrong with it. */
export interface CheckForm {
  readonly url: string;
  readonly method: string;
  readonly status: string;
  readonly regions: readonly string[];
}

export interface FieldError {
  readonly field: 'url' | 'method' | 'status' | 'regions' | null;
  readonly message: string;
}

export interface CheckProps {
  readonly form: CheckForm;
  /** An endpoint as it stands, in place of a URL. */
  readonly endpoint: PageEndpoint | null;
  readonly regions: readonly PageRegion[];
  readonly mayCheck: boolean;
  readonly errors: readonly FieldError[];
  readonly outcome: CheckOutcome | null;
  readonly now: number;
}

export interface CheckOutcome {
  readonly results: readonly ShownResult[];
  readonly empty: PlacedOrder['empty'];
  readonly silent: readonly string[];
}

export const methods = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'] as const;

/** A form that works by itself: with JavaScript each result comes as it is there, without it all of them on the next page. */
export const CheckPage = (props: CheckProps) => {
  const { endpoint, regions, mayCheck, errors, outcome, now } = props;
  const general = errors.filter(({ field }) => field === null);
  return (
    <>
      <div class="lede">
        <div>
          <h1>Check something now</h1>
          <p class="long">
            One probe of each region runs it at once, by its own policy, and answers within 10 s. Nothing is
            stored, nothing votes, nobody is alerted.
          </p>
        </div>
      </div>
      <div class="note down" id="refused" role="alert" hidden={general.length === 0}>
        {general.map(({ message }) => (
          <b>{message}</b>
        ))}
      </div>
      {!mayCheck ? (
        <div class="empty">
          <b>You may look, not check</b>
          <span>A check on demand takes the scope write.</span>
        </div>
      ) : regions.length === 0 ? (
        <div class="empty">
          <b>No region yet</b>
          <span>
            <code>parallax enroll --region eu-west</code> makes a token that lets a probe in.
          </span>
        </div>
      ) : (
        <Form {...props} endpoint={endpoint} />
      )}
      <section id="order" aria-live="polite" aria-label="Results of this check" hidden={outcome === null}>
        <header>
          <h2>Results</h2>
          <p id="order-says">{outcome && saysOf(outcome)}</p>
        </header>
        <div class="results" id="order-results">
          {outcome && <OrderResults results={outcome.results} now={now} />}
        </div>
      </section>
    </>
  );
};

export const OrderResults = ({ results, now }: { results: readonly ShownResult[]; now: number }) => (
  <>
    <ResultsHead wholeUs={null} />
    {results.map((result) => (
      <ResultLine result={result} wholeUs={null} open={result.seen.outcome !== 'up'} now={now} />
    ))}
  </>
);

/** What came of an order, as a sentence or two. */
export function saysOf({ results, empty, silent }: CheckOutcome): string {
  const asked = results.length + silent.length;
  const parts = [
    `${results.length} of ${asked} answered.`,
    ...(silent.length > 0 ? [`No answer within 10 s from ${listed(silent, 12)}.`] : []),
    ...(empty.length > 0 ? [`No probe is about in ${listed(empty, 12)}.`] : []),
  ];
  return parts.join(' ');
}

const Form = ({ form, endpoint, regions, errors }: CheckProps) => {
  const wrong = (field: FieldError['field']) => errors.find((error) => error.field === field)?.message;
  return (
    <form class="check" id="check" action="/check" method="post">
      {endpoint ? (
        <div class="label">
          Endpoint
          <span>
            <bdi>{endpoint.name}</bdi> <code class="dim strange">{endpoint.url}</code>
          </span>
          <small>
            Asked as it stands, with its request and expectations. <a href="/check">Another URL</a>
          </small>
          <input type="hidden" name="endpoint" value={String(endpoint.id)} />
        </div>
      ) : (
        <>
          <Field
            id="url"
            label="URL"
            wrong={wrong('url')}
            hint="http, https, ws, grpc, tcp, tls, ping or dns"
          >
            <input
              class="field mono"
              id="url"
              name="url"
              type="text"
              inputmode="url"
              autocomplete="off"
              spellcheck={false}
              required
              maxlength={2048}
              placeholder="https://shop.example/health"
              value={form.url}
              aria-describedby="url-hint"
              aria-invalid={wrong('url') ? 'true' : undefined}
            />
          </Field>
          <div class="bar start">
            <Field id="method" label="Method" wrong={wrong('method')} hint="http and https">
              <select class="field" id="method" name="method" aria-describedby="method-hint">
                {methods.map((method) => (
                  <option selected={method === form.method}>{method}</option>
                ))}
              </select>
            </Field>
            <Field
              id="status"
              label="Expected status"
              wrong={wrong('status')}
              hint="2xx where left empty; 200, 204 or 3xx"
            >
              <input
                class="field"
                id="status"
                name="status"
                type="text"
                autocomplete="off"
                maxlength={100}
                value={form.status}
                aria-describedby="status-hint"
                aria-invalid={wrong('status') ? 'true' : undefined}
              />
            </Field>
          </div>
        </>
      )}
      <fieldset aria-describedby="regions-hint">
        <legend>Regions</legend>
        <div class="bar start">
          {regions.map(({ name }) => (
            <label class="tick">
              <input type="checkbox" name="regions" value={name} checked={form.regions.includes(name)} />
              {name}
            </label>
          ))}
        </div>
        <small class={wrong('regions') ? 'wrong' : 'dim'} id="regions-hint">
          {wrong('regions') ?? ''}
        </small>
      </fieldset>
      <div class="bar">
        <button type="submit" class="btn first">
          Check now
        </button>
        <span class="dim" id="check-says" role="status">
          It waits 10 s at most.
        </span>
      </div>
    </form>
  );
};

const Field = (props: {
  id: string;
  label: string;
  hint: string;
  wrong: string | undefined;
  children?: unknown;
}) => (
  <div class="label">
    <label for={props.id}>{props.label}</label>
    {props.children as never}
    <small class={props.wrong ? 'wrong' : undefined} id={`${props.id}-hint`} data-hint={props.hint}>
      {props.wrong ?? props.hint}
    </small>
  </div>
);
