import { clockTime } from '../figures.ts';
import { hubNow, setHubNow } from './ages.ts';
import { clearChanges, holdCast, holdProbes, holdState } from './held-changes.ts';
import { element, replaceWith } from './markup.ts';
import { drawOverview, type Overview } from './overview.ts';
import { onRedraw } from './redraw.ts';

interface RowUpdate {
  readonly id: number;
  readonly is: string;
  readonly at: number | null;
  readonly cells: readonly (readonly [regionId: number, html: string])[];
  readonly verdict: string;
  readonly views: string;
  readonly spark: string;
}

/** The hub says something every 5 s. */
const silentSeconds = 15;

let source: EventSource | null = null;
let heardAt = 0;

/** Cells are drawn anew in place; rows never move by themselves, and what would move them is held until asked for. */
export function followLive(): void {
  if (!document.querySelector('#live')) return;
  listen();
  onRedraw((changed) => {
    clearChanges();
    listen();
    for (const id of changed) rowOf(Number(id))?.classList.add('changed');
  });
  setInterval(sayWhetherHeard, 1000);
  // The browser holds on to what it cannot use: a page in the background asks again when it is looked at.
  document.addEventListener('visibilitychange', () => {
    if (!document.hidden && source?.readyState === EventSource.CLOSED) listen();
  });
}

function listen(): void {
  const live = document.querySelector<HTMLElement>('#live');
  if (!live) return;
  source?.close();
  const rows = [...document.querySelectorAll<HTMLElement>('.row[data-id]')].map(({ dataset }) => dataset.id);
  const query = live.dataset.probes === undefined ? `rows=${rows.join(',')}` : 'probes';
  source = new EventSource(`/events?${query}&since=${live.dataset.version ?? ''}`);
  heardAt = performance.now();
  on<readonly RowUpdate[]>('rows', (updates) => {
    for (const update of updates) drawRow(update);
  });
  on<Overview>('overview', drawOverview);
  on<{ readonly html: string }>('health', ({ html }) => replaceWith(document.querySelector('#health'), html));
  on<{
    readonly rows: readonly {
      readonly id: number;
      readonly name: string;
      readonly from: string;
      readonly to: string;
    }[];
  }>('moved', ({ rows: moved }) => {
    for (const { id, name, from, to } of moved) if (!rowOf(id)) holdState(id, name, from, to);
  });
  on<object>('cast', () => holdCast());
  on<{ readonly rows: readonly (readonly [number, string])[]; readonly all: readonly string[] }>(
    'probes',
    ({ rows: drawn, all }) => {
      for (const [id, html] of drawn) drawProbe(id, html);
      const there = new Set(live.dataset.probes?.split(' '));
      holdProbes(all.filter((probe) => !there.has(probe)).length);
    },
  );
  on<{ readonly now: number }>('beat', ({ now }) => setHubNow(now));
}

function on<Data>(event: string, listener: (data: Data) => void): void {
  source?.addEventListener(event, ({ data }: MessageEvent<string>) => {
    heardAt = performance.now();
    listener(JSON.parse(data) as Data);
  });
}

function rowOf(id: number): HTMLElement | null {
  return document.querySelector<HTMLElement>(`.row[data-id="${id}"]`);
}

function drawRow({ id, is, at, cells, verdict, views, spark }: RowUpdate): void {
  const row = rowOf(id);
  if (!row) return;
  const columns = [...document.querySelectorAll<HTMLElement>('#matrix thead [data-region]')];
  const places = new Map(columns.map(({ dataset }, index) => [Number(dataset.region), index]));
  const drawn = row.querySelectorAll('td.c-region');
  for (const [region, html] of cells) {
    const place = places.get(region);
    if (place !== undefined) replaceWith(drawn[place], html);
  }
  replaceWith(row.querySelector('.views'), views);
  replaceWith(row.querySelector('.spark'), spark);
  const age = row.querySelector<HTMLElement>('.c-age span');
  if (age && at !== null) age.dataset.at = String(Math.floor(at));
  const words = !fitsInPlace(row, verdict);
  // What does not fit is left, and marked as past.
  row.classList.toggle('held', words);
  holdState(id, row.querySelector('.name')?.textContent ?? '', row.dataset.is ?? '', is, words);
}

/** Draws the verdict anew where that moves no other row: without its reasons where there is no room, else not at all. */
function fitsInPlace(row: HTMLElement, html: string): boolean {
  const tall = () => row.getBoundingClientRect().height;
  const [old, height] = [row.querySelector('.c-verdict'), tall()];
  if (!old) return true;
  replaceWith(old, html);
  const fresh = row.querySelector('.c-verdict');
  if (tall() > height) for (const why of fresh?.querySelectorAll('.why') ?? []) why.remove();
  if (tall() > height) {
    fresh?.replaceWith(old);
    return false;
  }
  row.style.blockSize = `${height}px`;
  return true;
}

/** Not under somebody's finger: a row whose button is in use stays as it is. */
function drawProbe(id: number, html: string): void {
  const row = document.querySelector(`.probes tr[data-id="${id}"]`);
  if (!row || row.querySelector('[aria-busy="true"]')) return;
  const focused = row.contains(document.activeElement)
    ? document.activeElement?.getAttribute('data-act')
    : null;
  const holds = document.querySelectorAll(`.probes tr[data-id="${id}"] [data-act]`).length;
  replaceWith(row, html);
  const fresh = document.querySelector(`.probes tr[data-id="${id}"]`);
  if (fresh && fresh.querySelectorAll('[data-act]').length !== holds) holdProbes(1);
  for (const button of fresh?.querySelectorAll<HTMLButtonElement>('[data-act]') ?? [])
    button.disabled = false;
  if (focused) fresh?.querySelector<HTMLElement>(`[data-act="${focused}"]`)?.focus();
}

function sayWhetherHeard(): void {
  const note = document.querySelector<HTMLElement>('#link-lost');
  if (!note) return;
  const silent = (performance.now() - heardAt) / 1000;
  const lost = silent > silentSeconds || source?.readyState === EventSource.CLOSED;
  if (!lost) {
    note.hidden = true;
    return;
  }
  const refused = source?.readyState === EventSource.CLOSED;
  const said = `This page shows ${clockTime(hubNow() - silent)}${refused ? '. Load it again: you may be signed out.' : ' and keeps trying.'}`;
  note.replaceChildren(
    element(
      'b',
      {},
      refused ? 'The hub refuses to go on' : `No word from the hub for ${Math.floor(silent)} s`,
    ),
    element('span', {}, said),
  );
  note.hidden = false;
}
