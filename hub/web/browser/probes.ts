import { hideRefusal, problemOf, showRefusal } from './problem.ts';
import { onRedraw, redraw } from './redraw.ts';

/** Approve at once; revoke on the second press, because it cannot be taken back. */
export function actOnProbes(): void {
  const live = document.querySelector<HTMLElement>('#live[data-probes]');
  if (!live) return;
  enable();
  onRedraw(enable);
  document.addEventListener('click', (event) => {
    const button =
      event.target instanceof Element ? event.target.closest<HTMLButtonElement>('[data-act]') : null;
    if (button) void act(button);
  });
  document.addEventListener('focusout', ({ target }) => {
    if (target instanceof HTMLElement && target.dataset.sure) unsure(target);
  });
}

function enable(): void {
  for (const button of document.querySelectorAll<HTMLButtonElement>('[data-act]')) button.disabled = false;
}

function unsure(button: HTMLElement): void {
  delete button.dataset.sure;
  button.classList.remove('stop');
  if (button.firstChild) button.firstChild.textContent = 'Revoke';
}

async function act(button: HTMLButtonElement): Promise<void> {
  const { act: what = '' } = button.dataset;
  const row = button.closest<HTMLElement>('tr');
  const { id = '', name = '' } = row?.dataset ?? {};
  if (button.getAttribute('aria-busy') === 'true') return;
  if (what === 'revoke' && !button.dataset.sure) {
    button.dataset.sure = 'asked';
    button.classList.add('stop');
    if (button.firstChild) button.firstChild.textContent = 'Revoke for good';
    return;
  }
  hideRefusal();
  button.setAttribute('aria-busy', 'true');
  try {
    const answer = await fetch(`/api/v1/probes/${id}/${what}`, { method: 'POST' });
    if (!answer.ok) return showRefusal(`${name} is as it was`, await problemOf(answer));
    await redraw(location.href);
  } catch (error) {
    showRefusal(
      `${name} is as it was`,
      `The hub cannot be reached: ${error instanceof Error ? error.message : error}`,
    );
  } finally {
    button.removeAttribute('aria-busy');
  }
}
