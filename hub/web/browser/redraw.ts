import { documentOf } from './markup.ts';

/** Told after a page was drawn anew in place; the ids of rows whose state is another than before. */
type Listener = (changed: readonly string[]) => void;
const listeners = new Set<Listener>();

export function onRedraw(listener: Listener): void {
  listeners.add(listener);
}

const parts = ['.lede', '.tabs', '#health', '#live', '.pager', '.key'];
let newest = 0;

/** Gets the page at this address and puts its parts where the old ones stand: what somebody writes and where he is stay. */
export async function redraw(address: URL | string): Promise<void> {
  newest += 1;
  const mine = newest;
  const answer = await fetch(address, { headers: { accept: 'text/html' } });
  if (mine !== newest) return;
  if (!answer.ok || answer.redirected) return location.assign(String(address));
  const page = documentOf(await answer.text());
  // A page of another shape, such as the first endpoint's: no patch will do.
  if (mine !== newest) return;
  if (!page.querySelector('#live') || !document.querySelector('#live'))
    return location.assign(String(address));
  const before = statesOf(document);
  for (const part of parts) place(part, page);
  document.title = page.title;
  const icon = page.querySelector('link[rel="icon"]')?.getAttribute('href');
  if (icon) document.querySelector('link[rel="icon"]')?.setAttribute('href', icon);
  history.replaceState(null, '', address);
  const changed = [...statesOf(document)].filter(([id, is]) => before.has(id) && before.get(id) !== is);
  for (const listener of listeners) listener(changed.map(([id]) => id));
}

function place(part: string, page: Document): void {
  const [old, fresh] = [document.querySelector(part), page.querySelector(part)];
  if (old && fresh) old.replaceWith(document.adoptNode(fresh));
  else if (old) old.remove();
  else if (fresh) document.querySelector('#live')?.after(document.adoptNode(fresh));
}

function statesOf(page: Document): Map<string, string> {
  const rows = [...page.querySelectorAll<HTMLElement>('.row[data-id]')];
  return new Map(rows.map((row) => [row.dataset.id ?? '', row.dataset.is ?? '']));
}
