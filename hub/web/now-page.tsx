import type { Child } from 'hono/jsx';
import { few, listed, whole } from './figures.ts';
import { Held } from './held.tsx';
import { OneView, Pair } from './marks.tsx';
import { Matrix, type MatrixProps, stateWords, tally } from './matrix.tsx';
import type { PageRegion, Row } from './row.ts';
import { hrefOf, rowsPerPage, type Selected, type Selection } from './selection.ts';
import { Sky } from './sky.tsx';
import { type ViewState, viewStates } from './view.ts';

export interface NowProps {
  /** All that the operator may see, in the order of the matrix. */
  readonly rows: readonly Row[];
  /** The same, each in its lasting place. */
  readonly sky: readonly Row[];
  readonly regions: readonly PageRegion[];
  readonly selection: Selection;
  readonly selected: Selected;
  readonly counts: Readonly<Record<ViewState, number>>;
  readonly spark: MatrixProps['spark'];
  /** Epoch seconds. */
  readonly now: number;
  /** What /events goes on from. */
  readonly version: string;
}

export const NowPage = (props: NowProps) => {
  const { rows, regions, selection, selected } = props;
  const views = rows.reduce((sum, row) => sum + row.views.filter(({ state }) => state !== 'off').length, 0);
  return (
    <>
      <div class="lede">
        <div>
          <h1>{headline(rows, props.counts)}</h1>
          <p class="long">
            {rows.length > 0 &&
              `${tally(props.counts)}; ${few(regions.length, 'region')}, ${few(views, 'view')}. `}
            Each mark is the last outcome; no verdict is made of them.
          </p>
        </div>
        {rows.length > 0 && regions.length > 0 && <Sky rows={props.sky} regions={regions} />}
      </div>
      {rows.length === 0 ? (
        <NothingYet regions={regions} />
      ) : (
        <>
          <FilterBar selection={selection} selected={selected} />
          <div id="live" data-version={props.version}>
            {selected.matching > 0 ? (
              <Matrix groups={selected.groups} regions={regions} spark={props.spark} now={props.now} />
            ) : (
              <div class="empty">
                <b>No endpoint matches.</b>
                <span>The filter reads names, addresses, tags, failure codes and states.</span>
                <a class="btn" href="/">
                  Show all
                </a>
              </div>
            )}
          </div>
          <Held />
          <Pager selection={selection} selected={selected} />
          <Key regions={regions} />
        </>
      )}
    </>
  );
};

function headline(rows: readonly Row[], counts: Readonly<Record<ViewState, number>>): string {
  if (rows.length === 0) return 'Nothing is checked yet.';
  if (rows.every(({ at }) => at === null)) return 'Nothing has been seen yet.';
  const down = rows.filter(({ state }) => state === 'down');
  const whole = down.filter(({ agreed }) => agreed).length;
  const parts = down.length - whole;
  const sentences = [
    whole > 0 &&
      `${number(whole)} ${whole === 1 ? 'endpoint is' : 'endpoints are'} down from every region that sees ${whole === 1 ? 'it' : 'them'}.`,
    parts > 0 && `${number(parts)} ${parts === 1 ? 'is' : 'are'} down from some regions and not from others.`,
    down.length === 0 &&
      counts.degraded > 0 &&
      `Nothing is down; ${number(counts.degraded).toLowerCase()} ${counts.degraded === 1 ? 'is' : 'are'} degraded.`,
    down.length === 0 && counts.degraded === 0 && counts.unknown > 0 && 'Nothing that is seen is down.',
  ].filter(Boolean);
  return sentences.join(' ') || 'Every endpoint is up from every region that sees it.';
}

const numbers = ['No', 'One', 'Two', 'Three', 'Four', 'Five', 'Six', 'Seven', 'Eight', 'Nine', 'Ten'];
const number = (count: number): string => numbers[count] ?? whole(count);

/** Works as a form and as links; with JavaScript on, the text is looked for while it is written. */
const FilterBar = ({ selection, selected }: { selection: Selection; selected: Selected }) => (
  <form class="bar filter" action="/" method="get">
    <div class="find">
      <label class="vh" for="find">
        Filter endpoints
      </label>
      <input
        class="field"
        id="find"
        name="find"
        type="search"
        placeholder="Name, address, tag, code or state"
        autocomplete="off"
        maxlength={200}
        value={selection.find}
      />
      <kbd>/</kbd>
    </div>
    {selection.state && <input type="hidden" name="state" value={selection.state} />}
    <nav class="tabs" aria-label="Last outcome">
      <Tab state={null} selection={selection}>
        all {whole(selected.found)}
      </Tab>
      {viewStates
        .filter((state) => state !== 'off' || selected.counts.off > 0)
        .map((state) => (
          <Tab state={state} selection={selection}>
            <Pair state={state} />
            {stateWords[state]} {whole(selected.counts[state])}
          </Tab>
        ))}
    </nav>
    <noscript>
      <button type="submit" class="btn">
        Filter
      </button>
    </noscript>
  </form>
);

const Tab = (props: { state: ViewState | null; selection: Selection; children?: Child }) => (
  <a
    href={hrefOf({ ...props.selection, state: props.state, page: 1 })}
    class={props.state ?? ''}
    aria-current={props.state === props.selection.state ? 'true' : undefined}
  >
    {props.children}
  </a>
);

const Pager = ({
  selection,
  selected: { page, pages, matching },
}: {
  selection: Selection;
  selected: Selected;
}) =>
  pages > 1 ? (
    <nav class="pager bar" aria-label="Pages of the matrix">
      {page > 1 && (
        <a class="btn" rel="prev" href={hrefOf({ ...selection, page: page - 1 })}>
          Previous {rowsPerPage}
        </a>
      )}
      <span class="dim">
        {whole((page - 1) * rowsPerPage + 1)} to {whole(Math.min(page * rowsPerPage, matching))} of{' '}
        {whole(matching)}
      </span>
      {page < pages && (
        <a class="btn" rel="next" href={hrefOf({ ...selection, page: page + 1 })}>
          Next {whole(Math.min(rowsPerPage, matching - page * rowsPerPage))}
        </a>
      )}
    </nav>
  ) : null;

const NothingYet = ({ regions }: { regions: readonly PageRegion[] }) => (
  <div class="empty">
    <b>No endpoints yet</b>
    <span>
      Write the first one to a file and run <code>parallax endpoints apply endpoints.yaml</code>:
    </span>
    <pre class="mono">
      {'endpoints:\n  - name: shop\n    url: https://shop.example/health\n    interval: 30s'}
    </pre>
    {regions.length === 0 && (
      <span>
        There is no region either: <code>parallax enroll --region eu-west</code> makes a token that lets a
        probe in.
      </span>
    )}
  </div>
);

const keys: readonly (readonly [ViewState, string])[] = [
  ['up', 'above the line: up'],
  ['degraded', 'on the line: degraded'],
  ['down', 'below the line: down'],
  ['unknown', 'ring: nothing seen, or skipped'],
  ['off', 'dot: not checked from here'],
];

const Key = ({ regions }: { regions: readonly PageRegion[] }) => (
  <p class="key">
    <b>How to read a view</b>
    {keys.map(([state, text]) => (
      <span class={state}>
        <OneView state={state} />
        {text}
      </span>
    ))}
    <span>~ suspect: the probe's own trouble may have spoilt it</span>
    <span>
      Order everywhere:{' '}
      {listed(
        regions.map(({ name }) => name),
        12,
      )}
    </span>
  </p>
);
