import { few } from './figures.ts';
import { Lane } from './marks.tsx';
import type { Glance, PageRegion } from './row.ts';
import { type ViewState, viewStates } from './view.ts';

/** More marks than this in a lane cannot be told apart: then a mark is several endpoints, the worst of them. */
const mostMarks = 120;

/** All views at once: a place that fails runs across, an endpoint that fails runs down. */
export const Sky = ({ rows, regions }: { rows: readonly Glance[]; regions: readonly PageRegion[] }) => {
  const each = Math.max(1, Math.ceil(rows.length / mostMarks));
  const breaks = new Set<number>();
  const marks: Glance[][] = [];
  for (const [index, row] of rows.entries()) {
    const fresh = index % each === 0;
    if (fresh) marks.push([]);
    if (each === 1 && index > 0 && row.endpoint.team !== rows[index - 1]?.endpoint.team) breaks.add(index);
    marks.at(-1)?.push(row);
  }
  return (
    <figure class="sky">
      {regions.map(({ name }, region) => {
        const down = countOf(rows, region, 'down');
        const up = countOf(rows, region, 'up');
        const says = down > 0 ? `${down} down` : up > 0 ? `${up} up` : 'no view';
        return (
          <>
            <span class="place">{name}</span>
            <Lane states={marks.map((mark) => worst(mark, region))} breaks={breaks} />
            <b class={down > 0 ? 'down' : up > 0 ? 'up' : 'unknown'}>{says}</b>
          </>
        );
      })}
      {each > 1 && <figcaption>A mark is {few(each, 'endpoint')}, the worst of them</figcaption>}
    </figure>
  );
};

function countOf(rows: readonly Glance[], region: number, state: ViewState): number {
  let count = 0;
  for (const { states } of rows) if (states[region] === state) count += 1;
  return count;
}

/** As fine as the eye: an `unknown` among several that are up does not hide them. */
function worst(rows: readonly Glance[], region: number): ViewState {
  const states = new Set(rows.map(({ states: all }) => all[region] ?? 'off'));
  return viewStates.find((state) => states.has(state)) ?? 'off';
}
