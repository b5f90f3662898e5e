import { replaceWith } from './markup.ts';

/** As the hub tells it: see hub/web/updates.tsx. */
export interface Overview {
  readonly title: string;
  readonly summary: string;
  readonly sky: string;
  readonly tabs: string;
  readonly teams: readonly (readonly [team: string, tally: string])[];
}

/** What stands over the rows follows them, as long as no row moves for it and no link under a finger. */
export function drawOverview({ title, summary, sky, tabs, teams }: Overview): void {
  document.title = title;
  replaceWith(document.querySelector('.sky'), sky);
  replaceIfAsLarge('.summary', summary, '.lede');
  // What is filtered is counted anew when it is drawn anew.
  const { searchParams } = new URL(location.href);
  if (searchParams.has('find') || searchParams.has('state')) return;
  replaceIfAsLarge('.tabs', tabs, '.tabs');
  const tallies = new Map(teams);
  for (const group of document.querySelectorAll<HTMLElement>('.group[data-team]')) {
    const [place, text] = [group.querySelector('.counts'), tallies.get(group.dataset.team ?? '')];
    if (place && text !== undefined && place.textContent !== text) place.textContent = text;
  }
}

function replaceIfAsLarge(selector: string, html: string, measured: string): void {
  const size = () => {
    const { width, height } = document.querySelector(measured)?.getBoundingClientRect() ?? {};
    return `${width} ${height}`;
  };
  const [old, before] = [document.querySelector(selector), size()];
  if (!old) return;
  replaceWith(old, html);
  if (size() !== before) document.querySelector(selector)?.replaceWith(old);
}
