import type { Child } from 'hono/jsx';
import type { Assets } from './assets.ts';
import { clockTime } from './figures.ts';
import { HealthLine, type HubHealth } from './health.tsx';
import { MarkDefinitions, Wordmark } from './marks.tsx';

export interface LayoutProps {
  readonly title: string;
  readonly assets: Assets;
  /** `tab.svg`, `tab-up.svg` or `tab-down.svg`. */
  readonly tab: string;
  /** The page of the navigation somebody is on; null leaves navigation out. */
  readonly at: 'Now' | 'Check' | 'Probes' | 'Endpoint' | 'Probe' | null;
  readonly health: HubHealth | null;
  /** A form is posted by the browser itself: without a referrer it would say `Origin: null`, which the guard refuses. */
  readonly tellsOrigin?: boolean;
  /** Epoch seconds the page was drawn at. */
  readonly drawnAt: number;
  /** With JavaScript off the page loads itself again after so many seconds; 0 for never. */
  readonly againAfter: number;
  readonly children?: Child;
}

const pages = [
  ['/', 'Now'],
  ['/check', 'Check'],
  ['/probes', 'Probes'],
] as const;

export const Layout = (props: LayoutProps) => {
  const { assets, at } = props;
  const [css, js] = [assets.href('pages.css'), assets.href('pages.js')];
  return (
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        {props.tellsOrigin && <meta name="referrer" content="same-origin" />}
        <title>{props.title}</title>
        <link rel="icon" href={assets.href(props.tab)} type="image/svg+xml" />
        {css && <link rel="stylesheet" href={css} />}
        {js && <script src={js} defer></script>}
        {props.againAfter > 0 && (
          <noscript>
            <meta http-equiv="refresh" content={String(props.againAfter)} />
          </noscript>
        )}
      </head>
      <body>
        <a class="skip" href="#main">
          To the content
        </a>
        <MarkDefinitions />
        <header class="top">
          <a class="brand" href="/">
            <Wordmark height={24} />
          </a>
          <nav class="nav" aria-label="Main">
            {at &&
              pages.map(([href, name]) => (
                <a href={href} aria-current={name === at ? 'page' : undefined}>
                  {name}
                </a>
              ))}
          </nav>
          <div class="top-end">
            {at && (
              <span class="nb" id="clock">
                {clockTime(props.drawnAt)}
              </span>
            )}
            <button type="button" class="btn bare" data-theme-switch hidden aria-label="Theme: light or dark">
              Theme
            </button>
            {at && (
              <button type="button" class="btn bare" data-sign-out hidden>
                Sign out
              </button>
            )}
          </div>
        </header>
        {props.health && <HealthLine health={props.health} />}
        <main id="main" tabindex={-1}>
          {props.children}
        </main>
      </body>
    </html>
  );
};
