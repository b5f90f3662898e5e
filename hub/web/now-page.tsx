import { listed, whole } from './figures.ts';
import { Held } from './held.tsx';
import { OneView } from './marks.tsx';
import { Matrix, type MatrixProps } from './matrix.tsx';
import type { Glance, PageRegion, Row } from './row.ts';
import { hrefOf, rowsPerPage, type Selected, type Selection } from './selection.ts';
import { Sky } from './sky.tsx';
import { Summary, Tabs } from './summary.tsx';
import type { ViewState } from './view.ts';

export interface NowProps {
  /** All that the operator may see, in the order of the matrix. */
  readonly rows: readonly Glance[];
  /** The same, each in its lasting place. */
  readonly sky: readonly Glance[];
  readonly regions: readonly PageRegion[];
  readonly selection: Selection;
  readonly selected: Selected<Row>;
  readonly spark: MatrixProps['spark'];
  /** Epoch seconds. */
  readonly now: number;
  /** What /events goes on from. */
  readonly version: string;
}

export const NowPage = (props: NowProps) => {
  const { rows, regions, selection, selected } = props;
  return (
    <>
      <div class="lede">
        <Summary rows={rows} regions={regions} />
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
    <Tabs counts={selected.counts} found={selected.found} selection={selection} />
    <noscript>
      <button type="submit" class="btn">
        Filter
      </button>
    </noscript>
  </form>
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
