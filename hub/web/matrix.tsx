import { clockTime, dayTime, few, shortSpan, span } from './figures.ts';
import { Mark, SparkLine, Views } from './marks.tsx';
import type { PageRegion, Row } from './row.ts';
import type { Group } from './selection.ts';
import type { SparkPaths } from './spark.ts';
import { type View, type ViewState, viewStates } from './view.ts';

export interface MatrixProps {
  readonly groups: readonly Group<Row>[];
  readonly regions: readonly PageRegion[];
  readonly spark: (row: Row) => SparkPaths;
  /** Epoch seconds. */
  readonly now: number;
}

/** One row an endpoint, one column a region. More than ten columns fit no screen: then the views alone stand. */
export const Matrix = ({ groups, regions, spark, now }: MatrixProps) => (
  <table class={`matrix ${density(regions.length)}`} id="matrix" tabindex={-1}>
    <caption class="vh">
      Endpoints by team, worst first, one column a region: the last outcome and its total time in milliseconds
    </caption>
    <thead>
      <tr>
        <th class="c-name" scope="col">
          Endpoint
        </th>
        <th class={`c-views v${Math.min(regions.length, 12)}`} scope="col">
          Views
        </th>
        <th class="c-verdict" scope="col">
          Last seen as
        </th>
        {regions.map(({ id, name }) => (
          <th class="c-region num" scope="col" data-region={id} title={name}>
            {name}
          </th>
        ))}
        <th class="c-spark" scope="col">
          Last 40 slots
        </th>
        <th class="c-age num" scope="col">
          Seen
        </th>
      </tr>
    </thead>
    {groups.map((group) => (
      <tbody>
        <tr class="group" data-team={group.team}>
          <th colspan={3} scope="rowgroup">
            <h2>{group.team ? <bdi>{group.team}</bdi> : 'no team'}</h2>
            <span class="counts">{tally(group.counts)}</span>
          </th>
          {regions.length > 0 && <td class="c-region" colspan={regions.length}></td>}
          <td class="c-spark"></td>
          <td class="c-age"></td>
        </tr>
        {group.rows.map((row) => (
          <MatrixRow row={row} regions={regions} spark={spark(row)} now={now} />
        ))}
      </tbody>
    ))}
  </table>
);

function density(regions: number): string {
  return regions <= 4 ? 'few fewest' : regions <= 6 ? 'few' : regions <= 10 ? 'many' : 'most';
}

/** `7 endpoints: 1 down, 6 up`. */
export function tally(counts: Readonly<Record<ViewState, number>>): string {
  const parts = viewStates
    .filter((state) => counts[state] > 0)
    .map((state) => `${counts[state]} ${stateWords[state]}`);
  const sum = viewStates.reduce((all, state) => all + counts[state], 0);
  return `${few(sum, 'endpoint')}: ${parts.join(', ')}`;
}

export const stateWords: Readonly<Record<ViewState, string>> = {
  down: 'down',
  degraded: 'degraded',
  unknown: 'no view',
  up: 'up',
  off: 'not checked',
};

const MatrixRow = (props: { row: Row; regions: readonly PageRegion[]; spark: SparkPaths; now: number }) => {
  const { row, regions } = props;
  const { endpoint, state } = row;
  return (
    <tr
      class={`row ${state === 'up' || state === 'off' ? 'quiet' : 'bad'}`}
      data-id={endpoint.id}
      data-is={state}
    >
      <th scope="row" class="c-name name" title={`${endpoint.name}\n${endpoint.url}`}>
        <a href={`/endpoints/${endpoint.id}`}>
          <bdi>{endpoint.name}</bdi>
        </a>
      </th>
      <td class="c-views">
        <Views views={row.views} regions={regions} />
      </td>
      <Verdict row={row} />
      {row.views.map((view, index) => (
        <Cell view={view} region={regions[index]?.name ?? ''} now={props.now} />
      ))}
      <td class="c-spark">
        <SparkLine paths={props.spark} />
      </td>
      <td class="c-age num dim">
        <Age at={row.at} now={props.now} />
      </td>
    </tr>
  );
};

/** The worst of what is seen, from how many regions, and what is wrong. */
export const Verdict = ({ row }: { row: Row }) => (
  <td class="c-verdict">
    <b class={`word ${row.state}`}>{row.word}</b>
    {row.why.map(({ text, code }) => (
      <span class="why">
        {text}
        {code && (
          <>
            {' '}
            <code class="faint">{code}</code>
          </>
        )}
      </span>
    ))}
  </td>
);

interface AgeProps {
  readonly at: number | null;
  readonly now: number;
  readonly short?: boolean;
}

/** The browser counts on from `data-at`. */
export const Age = ({ at, now, short = false }: AgeProps) =>
  at === null ? (
    <span>never</span>
  ) : (
    <span data-at={Math.floor(at)} data-short={short ? '' : undefined}>
      {short ? shortSpan(now - at) : span(now - at)}
    </span>
  );

/** Where up its figure, where not its mark and a word; how old it is beside it. */
export const Cell = ({ view, region, now }: { view: View; region: string; now: number }) => {
  const { state, text, suspect, at } = view;
  if (state === 'off') {
    return (
      <td class="c-region cell off">
        <span class="in">
          <Mark state="off" />
          <span class="vh">not checked</span>
        </span>
      </td>
    );
  }
  return (
    <td class={`c-region cell ${state}${suspect ? ' suspect' : ''}`} title={titleOf(view, region, now)}>
      <span class="in">
        {state !== 'up' && <Mark state={state} />}
        <span class="txt">{suspect ? `~${text}` : text}</span>
        <span class="vh">
          {state === 'up'
            ? `${text.endsWith('s') ? '' : ' ms'}, up`
            : state === 'unknown'
              ? ''
              : `, ${state}`}
          {suspect ? ', suspect' : ''}
        </span>
      </span>
      {at !== null && (
        <small class="old">
          <Age at={at} now={now} short />
        </small>
      )}
    </td>
  );
};

function titleOf(
  { state, text, says, code, message, suspect, at }: View,
  region: string,
  now: number,
): string {
  const what =
    state === 'up' ? `up, ${text.endsWith('s') ? text : `${text} ms`}` : `${state}: ${says || text}`;
  const when = at === null ? '' : `\n${now - at < 43_200 ? clockTime(at) : dayTime(at)}`;
  const more = message ? `\n${message}` : '';
  return `${region}: ${what}${code ? ` (${code})` : ''}${more}${suspect ? "\nsuspect: the probe's own trouble may have spoilt it" : ''}${when}`;
}
