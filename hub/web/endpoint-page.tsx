import type { Evidence } from '../../shared/evidence.ts';
import { EvidenceParts } from './evidence.tsx';
import { wordsOf } from './failure-words.ts';
import { dayTime, span } from './figures.ts';
import { Mark, Views } from './marks.tsx';
import { Age } from './matrix.tsx';
import { ResultLine, ResultsHead, type ShownResult, wholeOf } from './result-line.tsx';
import type { PageRegion, Row } from './row.ts';
import type { View } from './view.ts';

/** Evidence whose result stands in no list of the page, or stands there too: it has an address of its own. */
export interface ShownEvidence {
  readonly region: string;
  readonly probe: string | null;
  /** Epoch microseconds. */
  readonly scheduledAt: number;
  readonly code: string | null;
  readonly status: number | null;
  readonly evidence: Evidence;
}

export interface EndpointProps {
  readonly row: Row;
  readonly rev: number;
  readonly regions: readonly PageRegion[];
  /** Newest first. */
  readonly results: readonly ShownResult[];
  readonly evidence: readonly ShownEvidence[];
  /** The region that is looked at alone; null for all. */
  readonly only: string | null;
  /** May order checks. */
  readonly mayCheck: boolean;
  /** Epoch seconds. */
  readonly now: number;
}

/** One endpoint, region by region. */
export const EndpointPage = (props: EndpointProps) => {
  const { row, regions, now } = props;
  const { endpoint } = row;
  return (
    <>
      <div class="lede">
        <div>
          <p class="crumb">
            {endpoint.team ? (
              <a href={`/?find=${encodeURIComponent(`team:${endpoint.team}`)}`}>
                <bdi>{endpoint.team}</bdi>
              </a>
            ) : (
              <a href="/">all endpoints</a>
            )}
          </p>
          <h1 class="strange">
            <bdi>{endpoint.name}</bdi>
          </h1>
          <div class="facts">
            <code class="strange">
              <bdi>{endpoint.url}</bdi>
            </code>
            <span>
              every <b>{span(endpoint.intervalMs / 1000)}</b>
            </span>
            {!endpoint.enabled && <b>not enabled</b>}
            <span>
              rev <b>{props.rev}</b>
            </span>
          </div>
        </div>
        {props.mayCheck && (
          <div class="bar">
            <a class="btn" href={`/check?endpoint=${endpoint.id}`}>
              Check now
            </a>
          </div>
        )}
      </div>
      <section>
        <header>
          <h2>Views</h2>
          <Views views={row.views} regions={regions} />
        </header>
        <section class="wide" tabindex={0} aria-label="Views by region">
          <table class="list seen-from">
            <thead>
              <tr>
                <th scope="col">Region</th>
                <th scope="col">Last outcome</th>
                <th scope="col">Result</th>
                <th scope="col" class="num">
                  Seen
                </th>
              </tr>
            </thead>
            <tbody>
              {row.views.map((view, index) => (
                <ViewLine view={view} region={regions[index]?.name ?? ''} now={now} />
              ))}
            </tbody>
          </table>
        </section>
      </section>
      <Results {...props} />
      <Failures {...props} />
    </>
  );
};

const ViewLine = ({ view, region, now }: { view: View; region: string; now: number }) => {
  const { state, text, says, code, suspect } = view;
  const word = state === 'off' ? 'not checked' : state;
  return (
    <tr>
      <th scope="row">{region}</th>
      <td>
        <span class={`seen ${state}`}>
          <Mark state={state} />
          {suspect ? '~' : ''}
          {word}
          {suspect && <span class="vh">, suspect</span>}
        </span>
      </td>
      <td>
        {state === 'up' ? (text.endsWith('s') ? text : `${text} ms`) : says}{' '}
        {code && <code class="faint">{code}</code>}
      </td>
      <td class="num dim">{state === 'off' ? '' : <Age at={view.at} now={now} />}</td>
    </tr>
  );
};

const Results = ({ row, regions, results, only, now }: EndpointProps) => {
  const path = `/endpoints/${row.endpoint.id}`;
  const wholeUs = wholeOf(results);
  const firstBad = results.findIndex(({ seen }) => seen.outcome !== 'up');
  return (
    <section>
      <header>
        <h2>Last results</h2>
        {regions.length > 1 && (
          <nav class="tabs" aria-label="Results of a region">
            <a href={path} aria-current={only === null ? 'true' : undefined}>
              all
            </a>
            {regions.map(({ name }) => (
              <a
                href={`${path}?region=${encodeURIComponent(name)}`}
                aria-current={only === name ? 'true' : undefined}
              >
                {name}
              </a>
            ))}
          </nav>
        )}
      </header>
      {results.length === 0 ? (
        <div class="empty">
          <b>No results yet</b>
          <span>The first is here seconds after a probe of {only ?? 'a region'} has the assignment.</span>
        </div>
      ) : (
        <div class="results">
          <ResultsHead wholeUs={wholeUs} />
          {results.map((result, index) => (
            <ResultLine result={result} wholeUs={wholeUs} open={index === firstBad} now={now} />
          ))}
        </div>
      )}
      <p class="key">
        <span>~ suspect: the probe's own noise or network may have spoilt it; it never votes</span>
        <span>
          More: <code class="strange">parallax results {row.endpoint.name}</code>
        </span>
      </p>
    </section>
  );
};

/** Kept a week, so that what failed last night can be looked at in the morning. */
const Failures = ({ evidence, now }: EndpointProps) => (
  <section>
    <header>
      <h2>Evidence of failures</h2>
      <p>
        {evidence.length === 0
          ? 'None in the last 7 days.'
          : `${evidence.length === 1 ? 'The newest' : `The newest ${evidence.length}`} of the last 7 days.`}
      </p>
    </header>
    {evidence.length > 0 && (
      <div class="results">
        {evidence.map(({ region, scheduledAt, code, status, evidence: seen }) => {
          const at = scheduledAt / 1e6;
          return (
            <details class="down">
              <summary class="short">
                <span class="nb">{dayTime(at).slice(5, 16)}</span>
                <span class="place">{region}</span>
                <span class="odd">
                  {code ? (
                    <>
                      {wordsOf(code, status).says} <code class="faint">{code}</code>
                    </>
                  ) : (
                    'its result is no longer kept'
                  )}
                </span>
                <span class="num dim">{span(now - at)} ago</span>
              </summary>
              <div class="opened">
                <div class="whole">
                  <EvidenceParts evidence={seen} />
                </div>
              </div>
            </details>
          );
        })}
      </div>
    )}
  </section>
);
