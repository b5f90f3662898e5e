import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import type { Context } from 'hono';
import type { Child } from 'hono/jsx';
import type { ApiEnv } from '../api/operator.ts';
import { type Assets, acceptsGzip } from './assets.ts';
import { Layout, type LayoutProps } from './layout.tsx';

/** Answers with a page in the layout. */
export type PrintPage = (
  context: Context<ApiEnv>,
  layout: Omit<LayoutProps, 'assets' | 'drawnAt' | 'children'>,
  children: Child,
  status?: 200 | 400 | 403 | 404 | 409 | 429 | 503,
) => Promise<Response>;

const zip = promisify(gzip);

/** Nothing of another host, nothing inline: what strangers wrote can at most be read. */
const contentSecurityPolicy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "form-action 'self'",
  "base-uri 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
  'trusted-types parallax',
].join('; ');

/** `seconds`: the epoch seconds pages are drawn at. */
export function createPrintPage(assets: Assets, seconds: () => number): PrintPage {
  return async (context, layout, children, status = 200) => {
    const document = (
      <Layout {...layout} assets={assets} drawnAt={seconds()}>
        {children}
      </Layout>
    );
    const html = `<!doctype html>${await document}`;
    const headers = {
      'content-type': 'text/html; charset=utf-8',
      'cache-control': 'no-store',
      'content-security-policy': contentSecurityPolicy,
      'referrer-policy': 'no-referrer',
      'x-content-type-options': 'nosniff',
      vary: 'accept-encoding',
    };
    if (!acceptsGzip(context.req.header('accept-encoding'))) return context.body(html, status, headers);
    const zipped = await zip(html, { level: 3 });
    return context.body(new Uint8Array(zipped), status, { ...headers, 'content-encoding': 'gzip' });
  };
}

export function toSignIn(context: Context<ApiEnv>): Response {
  const { pathname, search } = new URL(context.req.url);
  const to = `${pathname}${search}`;
  return context.redirect(to === '/' ? '/sign-in' : `/sign-in?to=${encodeURIComponent(to)}`, 303);
}
