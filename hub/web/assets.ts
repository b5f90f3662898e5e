import { createHash } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import { Hono } from 'hono';
import type { ApiEnv } from '../api/operator.ts';
import { Problem } from '../problem.ts';

/** A file for the browser: `pages.css` and its text. */
export interface AssetFile {
  readonly name: string;
  readonly text: string;
}

export interface Assets {
  /** The address of a file, with the hash of its bytes in it; undefined for one that there is not. */
  href(name: string): string | undefined;
  readonly routes: Hono<ApiEnv>;
}

const types: Readonly<Record<string, string>> = {
  css: 'text/css; charset=utf-8',
  js: 'text/javascript; charset=utf-8',
  svg: 'image/svg+xml',
};

/** Files served from memory. Their addresses change with their bytes, so that a browser may keep them for ever. */
export function createAssets(files: readonly AssetFile[]): Assets {
  const hrefs = new Map<string, string>();
  const routes = new Hono<ApiEnv>();
  for (const { name, text } of [...files, ...tabPictures]) {
    const dot = name.lastIndexOf('.');
    const extension = name.slice(dot + 1);
    const hash = createHash('sha256').update(text).digest('hex').slice(0, 12);
    const href = `/assets/${name.slice(0, dot)}-${hash}.${extension}`;
    hrefs.set(name, href);
    const plain = Buffer.from(text);
    const zipped = gzipSync(plain, { level: 9 });
    const headers = {
      'content-type': types[extension] ?? 'application/octet-stream',
      'cache-control': 'public, max-age=31536000, immutable',
      'x-content-type-options': 'nosniff',
      vary: 'accept-encoding',
    };
    routes.get(href, (context) =>
      acceptsGzip(context.req.header('accept-encoding'))
        ? context.body(zipped, 200, { ...headers, 'content-encoding': 'gzip' })
        : context.body(plain, 200, headers),
    );
  }
  // A page from before an update asks for what is no more: it must not get the sign-in page in its stead.
  routes.get('/assets/*', () => {
    throw new Problem(404, 'asset.unknown', 'there is no such file: load the page again');
  });
  return { href: (name) => hrefs.get(name), routes };
}

export function acceptsGzip(header: string | undefined): boolean {
  return (
    /(^|,)\s*gzip\s*(;\s*q=(?!0(\.0*)?\s*(,|$)))?/i.test(header ?? '') &&
    !/gzip\s*;\s*q=0(\.0*)?\s*(,|$)/i.test(header ?? '')
  );
}

/** The picture in the browser's tab: both marks above their line, one displaced (the symbol), or both below. */
const tabPictures: readonly AssetFile[] = [
  { name: 'tab-up.svg', text: tabPicture('#6e9481', 'M4 1h7v9H4zM13 1h7v9h-7z') },
  { name: 'tab-down.svg', text: tabPicture('#de3b2d', 'M4 14h7v9H4zM13 14h7v9h-7z') },
  { name: 'tab.svg', text: tabPicture('#7d8884', 'M4 1h7v9H4zM13 14h7v9h-7z') },
];

function tabPicture(colour: string, marks: string): string {
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24"><path fill="${colour}" d="${marks}M0 11.25h24v1.5H0z"/></svg>`;
}
