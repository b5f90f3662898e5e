import type { PageRegion } from './row.ts';
import type { SparkPaths } from './spark.ts';
import type { View, ViewState } from './view.ts';

/** Pictures. On the axis hangs a mark: above is up, across is degraded, below is down, a ring is unknown, a dot is "not looked at from here". */

/** Drawn once a page; the marks refer to it. */
export const MarkDefinitions = () => (
  <svg width="0" height="0" class="defs" aria-hidden="true">
    <defs>
      <g id="m-up">
        <path d="M0 3h6v4H0z" />
      </g>
      <g id="m-degraded">
        <path d="M0 5h6v6H0z" />
      </g>
      <g id="m-down">
        <path d="M0 9h6v7H0z" />
      </g>
      <g id="m-unknown">
        <circle cx="3" cy="8" r="2.25" class="ring" />
      </g>
      <g id="m-off">
        <path d="M2.25 7.25h1.5v1.5h-1.5z" />
      </g>
      <g id="p-up">
        <path d="M0 3h5v4H0zM7 3h5v4H7z" />
      </g>
      <g id="p-degraded">
        <path d="M0 5h5v6H0zM7 5h5v6H7z" />
      </g>
      <g id="p-down">
        <path d="M0 9h5v7H0zM7 9h5v7H7z" />
      </g>
      <g id="p-unknown">
        <circle cx="2.5" cy="8" r="2" class="ring" />
        <circle cx="9.5" cy="8" r="2" class="ring" />
      </g>
      <g id="p-off">
        <path d="M1.75 7.25h1.5v1.5h-1.5zM8.75 7.25h1.5v1.5h-1.5z" />
      </g>
    </defs>
  </svg>
);

export const Wordmark = ({ height }: { height: number }) => (
  <svg
    class="wordmark"
    height={height}
    width={Math.round((height * 850) / 28) / 10}
    viewBox="-1 -2.5 85 28"
    role="img"
    aria-label="Parallax"
  >
    <g fill="none" stroke="currentColor" stroke-width="2.1">
      <path d="M1 7V23M24.5 7V19M29 7V19M29 13.4C29 10 30.8 8 34 8M45.5 7V19M71 7V19M74.7 7.6 82.5 18.6M82.3 7.6 74.5 18.6" />
      <circle cx="6" cy="13" r="5" />
      <circle cx="19.5" cy="13" r="5" />
      <circle cx="40.5" cy="13" r="5" />
      <circle cx="66" cy="13" r="5" />
    </g>
    <path fill="currentColor" d="M49.2-2h2.9v17.5h-2.9zM54.4 5.5h2.9V23h-2.9z" />
  </svg>
);

export const Mark = ({ state }: { state: ViewState }) => (
  <svg class={`mark ${state}`} viewBox="-1 0 8 16" aria-hidden="true">
    <path class="axis" d="M-1 8h8" />
    <use href={`#m-${state}`} />
  </svg>
);

export const Pair = ({ state }: { state: ViewState }) => (
  <svg class={`pair ${state}`} viewBox="0 0 12 16" aria-hidden="true">
    <path class="axis" d="M0 8h12" />
    <use href={`#p-${state}`} />
  </svg>
);

/** What all regions see of one endpoint, each in its fixed place. */
export const Views = ({ views, regions }: { views: readonly View[]; regions: readonly PageRegion[] }) => {
  const width = Math.max(6, views.length * 8 - 2);
  return (
    <svg
      class="views"
      width={width}
      height="16"
      viewBox={`0 0 ${width} 16`}
      role="img"
      aria-label={viewsLabel(views, regions)}
    >
      <path class="axis" d={`M0 8h${width}`} />
      {views.map(({ state }, index) => (
        <use href={`#m-${state}`} x={index * 8} class={state} />
      ))}
    </svg>
  );
};

export const OneView = ({ state }: { state: ViewState }) => (
  <svg class={`views ${state}`} width="6" height="16" viewBox="0 0 6 16" aria-hidden="true">
    <path class="axis" d="M0 8h6" />
    <use href={`#m-${state}`} class={state} />
  </svg>
);

function viewsLabel(views: readonly View[], regions: readonly PageRegion[]): string {
  const names = Map.groupBy(regions, (_, index) => views[index]?.state ?? 'off');
  names.delete('off');
  return [...names]
    .map(([state, those]) => `${those.map(({ name }) => name).join(', ')}: ${state}`)
    .join('; ');
}

export const SparkLine = ({ paths: { line, bad, gap, label } }: { paths: SparkPaths }) => (
  <svg class="spark" viewBox="0 0 40 24" preserveAspectRatio="none" role="img" aria-label={label}>
    <path class="axis" d="M0 19.5h40" />
    {line && <path class="line" d={line} />}
    {bad && <path class="down fill" d={bad} />}
    {gap && <path class="gap" d={gap} />}
  </svg>
);

const laneShapes: Partial<Record<ViewState, readonly [y: number, shape: string]>> = {
  up: [3.5, 'v3h6v-3z'],
  degraded: [4.5, 'v5h6v-5z'],
  down: [8, 'v6h6v-6z'],
};

/** One region over all endpoints, a mark each; `breaks` are the places where a group begins. */
export const Lane = ({ states, breaks }: { states: readonly ViewState[]; breaks: ReadonlySet<number> }) => {
  const drawn = new Map<ViewState, string>();
  let x = 0;
  for (const [index, state] of states.entries()) {
    if (index > 0 && breaks.has(index)) x += 6;
    const [y, shape] = laneShapes[state] ?? [4.5, 'h5v5h-5z'];
    const at = state === 'unknown' ? x + 0.5 : x;
    if (state !== 'off') drawn.set(state, `${drawn.get(state) ?? ''}M${at} ${y}${shape}`);
    x += 8;
  }
  const width = Math.max(6, x - 2);
  return (
    <svg class="lane" viewBox={`0 0 ${width} 14`} preserveAspectRatio="none" aria-hidden="true">
      <path class="axis" d={`M0 7h${width}`} />
      {[...drawn].map(([state, path]) => (
        <path class={`${state} ${state === 'unknown' ? 'hollow' : 'fill'}`} d={path} />
      ))}
    </svg>
  );
};
