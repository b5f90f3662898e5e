import { hideRefusal, problemOf, showRefusal } from './problem.ts';

/** The secret stands behind the link's #, which no server and no log ever sees. */
export function signIn(): void {
  if (!document.querySelector('#sign-in')) return;
  let secret = '';
  const [withLink, withoutLink] = [find('#with-link'), find('#without-link')];
  const take = () => {
    secret = location.hash.slice(1) || secret;
    // Not in the history, nor where somebody looks over a shoulder.
    if (location.hash) history.replaceState(null, '', location.pathname + location.search);
    withLink.hidden = secret === '';
    withoutLink.hidden = secret !== '';
  };
  take();
  // A link put into the address of this very page loads nothing anew.
  addEventListener('hashchange', () => {
    if (!location.hash) return;
    hideRefusal();
    take();
  });
  find('#redeem').addEventListener('click', () => void redeem(secret, find('#redeem')));
  withoutLink.addEventListener('submit', (event) => {
    event.preventDefault();
    const pasted = find<HTMLInputElement>('#link').value.trim();
    const given = pasted.slice(pasted.lastIndexOf('#') + 1);
    const button = withoutLink.querySelector('button');
    if (given && button) void redeem(given, button);
  });

  async function redeem(given: string, button: HTMLElement): Promise<void> {
    if (button.getAttribute('aria-busy') === 'true') return;
    hideRefusal();
    button.setAttribute('aria-busy', 'true');
    try {
      const answer = await fetch('/session', {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ secret: given }),
      });
      if (answer.ok) return location.assign(whereTo());
      if (answer.status >= 500 || answer.status === 429) {
        showRefusal(
          'The hub cannot sign you in now',
          await problemOf(answer),
          'The link is still good: try again.',
        );
        return;
      }
      // A spent link stays spent: what helps is another one.
      withLink.hidden = true;
      withoutLink.hidden = false;
      showRefusal(
        'This link does not sign in',
        await problemOf(answer),
        'A link works once, for 15 minutes.',
      );
    } catch (error) {
      showRefusal('The hub cannot be reached', String(error instanceof Error ? error.message : error));
    } finally {
      button.removeAttribute('aria-busy');
    }
  }
}

/** Back to the page that asked, never to another host. */
function whereTo(): string {
  const to = new URL(new URLSearchParams(location.search).get('to') ?? '/', location.origin);
  return to.origin === location.origin && !to.pathname.startsWith('/sign-in') ? to.pathname + to.search : '/';
}

function find<Found extends HTMLElement = HTMLElement>(selector: string): Found {
  const found = document.querySelector<Found>(selector);
  if (!found) throw new Error(`the page has no ${selector}`);
  return found;
}
