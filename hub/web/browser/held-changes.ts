import { element, pair } from './markup.ts';
import { redraw } from './redraw.ts';

interface Held {
  readonly name: string;
  readonly from: string;
  readonly to: string;
}

/** By endpoint: what its row says on this page, and what it would say now. */
const states = new Map<number, Held>();
let cast = false;
let probes = 0;
/** More names than these do not fit the bar. */
const mostNamed = 6;

/** `words` tells that the row would say something else of the same state. */
export function holdState(id: number, name: string, from: string, to: string, words = false): void {
  const first = states.get(id)?.from ?? from;
  // What went back to where it was is no change.
  if (first === to && !words) states.delete(id);
  else states.set(id, { name, from: first, to });
  say();
}

export function holdCast(): void {
  cast = true;
  say();
}

export function holdProbes(count: number): void {
  if (count === probes) return;
  probes = count;
  say();
}

export function clearChanges(): void {
  states.clear();
  cast = false;
  probes = 0;
  say();
}

const word = (state: string) => (state === 'unknown' ? 'no view' : state === 'off' ? 'not checked' : state);
let saying = '';

function say(): void {
  const bar = document.querySelector<HTMLElement>('#changes');
  if (!bar) return;
  const count = states.size + probes + Number(cast);
  const said = JSON.stringify([[...states], cast, probes]);
  if (said === saying) return;
  saying = said;
  bar.hidden = count === 0;
  if (count === 0) {
    bar.replaceChildren();
    return;
  }
  const lines = [...states.values()]
    .slice(0, mostNamed)
    .map(({ name, from, to }) =>
      element(
        'li',
        {},
        pair(from),
        element('span', { class: 'faint', 'aria-hidden': 'true' }, '\u2192'),
        pair(to),
        element('bdi', {}, name),
        element('span', { class: 'vh' }, `from ${word(from)} to`),
        element('span', { class: 'dim' }, word(to)),
      ),
    );
  if (states.size > mostNamed) lines.push(element('li', { class: 'dim' }, `${states.size - mostNamed} more`));
  if (cast) lines.push(element('li', {}, 'endpoints or regions came, went or were edited'));
  if (probes > 0) lines.push(element('li', {}, 'probes came or changed their status'));
  // The button stays the same element: it may have the focus, or a finger on its way.
  const button = bar.querySelector('button') ?? showButton();
  const list = element('ul', {}, ...lines);
  const total = element('b', {}, count === 1 ? '1 change' : `${count} changes`);
  if (button.parentElement !== bar) bar.replaceChildren(total, list, button);
  else {
    bar.querySelector('b')?.replaceWith(total);
    bar.querySelector('ul')?.replaceWith(list);
  }
}

function showButton(): HTMLElement {
  const button = element('button', { type: 'button', class: 'btn first', id: 'show-changes' }, 'Show them');
  button.addEventListener('click', async () => {
    await redraw(location.href);
    const shown =
      document.querySelector<HTMLElement>('#matrix') ?? document.querySelector<HTMLElement>('#main');
    shown?.focus();
  });
  return button;
}
