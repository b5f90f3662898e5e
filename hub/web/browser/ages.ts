import { clockTime, shortSpan, span } from '../figures.ts';

/** What the hub's clock is ahead of this one, seconds. */
let ahead = 0;

export function hubNow(): number {
  return Date.now() / 1000 + ahead;
}

export function setHubNow(seconds: number): void {
  ahead = seconds - Date.now() / 1000;
}

/** Ages go on by themselves, so that a page that hears nothing does not look fresh. */
export function countAges(): void {
  const clock = document.querySelector('#clock');
  const count = () => {
    if (document.hidden) return;
    const now = hubNow();
    if (clock) clock.textContent = clockTime(now);
    for (const age of document.querySelectorAll<HTMLElement>('[data-at]')) {
      const old = now - Number(age.dataset.at);
      const text = age.dataset.short === undefined ? span(old) : shortSpan(old);
      if (age.textContent !== text) age.textContent = text;
    }
  };
  setInterval(count, 1000);
}
