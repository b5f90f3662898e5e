import { redraw } from './redraw.ts';

const themeKey = 'parallax-theme';

export function switchTheme(): void {
  const root = document.documentElement;
  const chosen = localStorage.getItem(themeKey);
  if (chosen) root.dataset.theme = chosen;
  for (const button of document.querySelectorAll<HTMLElement>('[data-theme-switch]')) {
    button.hidden = false;
    button.addEventListener('click', () => {
      const dark = root.dataset.theme
        ? root.dataset.theme === 'dark'
        : matchMedia('(prefers-color-scheme: dark)').matches;
      root.dataset.theme = dark ? 'light' : 'dark';
      localStorage.setItem(themeKey, root.dataset.theme);
    });
  }
}

export function signOut(): void {
  for (const button of document.querySelectorAll<HTMLElement>('[data-sign-out]')) {
    button.hidden = false;
    button.addEventListener('click', async () => {
      await fetch('/session', { method: 'DELETE' });
      location.assign('/sign-in');
    });
  }
}

/** The rows follow the words as they are written; the address keeps them. */
export function filterAsWritten(): void {
  const box = document.querySelector<HTMLInputElement>('#find');
  if (!box) return;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const go = () => {
    clearTimeout(timer);
    const address = new URL(location.href);
    if (box.value.trim()) address.searchParams.set('find', box.value.trim());
    else address.searchParams.delete('find');
    address.searchParams.delete('page');
    if (address.href !== location.href) void redraw(address);
  };
  box.addEventListener('input', () => {
    clearTimeout(timer);
    timer = setTimeout(go, 200);
  });
  box.form?.addEventListener('submit', (event) => {
    event.preventDefault();
    go();
  });
  document.addEventListener('keydown', (event) => {
    const { target } = event;
    if (event.key !== '/' || event.ctrlKey || event.metaKey || event.altKey) return;
    if (target instanceof Element && target.closest('input, textarea, select')) return;
    event.preventDefault();
    box.focus();
  });
}
