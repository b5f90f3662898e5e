/** What the browser gets: `pages.css` and `pages.js`, bundled and minified. */
export function bundleWeb(): Promise<{ readonly name: string; readonly text: string }[]>;
