import type { Child } from 'hono/jsx';
import { few, whole } from './figures.ts';
import { Pair } from './marks.tsx';
import { stateWords, tally } from './matrix.tsx';
import type { Glance, PageRegion } from './row.ts';
import { countStates, hrefOf, type Selection } from './selection.ts';
import { type ViewState, viewStates } from './view.ts';

type Counts = Readonly<Record<ViewState, number>>;

/** What all rows come to, in a sentence and in numbers. */
export const Summary = ({ rows, regions }: { rows: readonly Glance[]; regions: readonly PageRegion[] }) => {
  const counts = countStates(rows);
  const views = rows.reduce((sum, { checked }) => sum + checked, 0);
  return (
    <div class="summary">
      <h1>{headline(rows, counts)}</h1>
      <p class="long">
        {rows.length > 0 && `${tally(counts)}; ${few(regions.length, 'region')}, ${few(views, 'view')}. `}
        Each mark is the last outcome; no verdict is made of them.
      </p>
    </div>
  );
};

/** For the browser's tab. */
export function titleOf({ down, degraded }: Counts): string {
  const worst = down > 0 ? `${down} down: ` : degraded > 0 ? `${degraded} degraded: ` : '';
  return `${worst}Parallax`;
}

function headline(rows: readonly Glance[], counts: Readonly<Record<ViewState, number>>): string {
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

interface TabsProps {
  readonly counts: Counts;
  readonly found: number;
  readonly selection: Selection;
}

export const Tabs = ({ counts, found, selection }: TabsProps) => (
  <nav class="tabs" aria-label="Last outcome">
    <Tab state={null} selection={selection}>
      all {whole(found)}
    </Tab>
    {viewStates
      .filter((state) => state !== 'off' || counts.off > 0)
      .map((state) => (
        <Tab state={state} selection={selection}>
          <Pair state={state} />
          {stateWords[state]} {whole(counts[state])}
        </Tab>
      ))}
  </nav>
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
