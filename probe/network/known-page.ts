import { request } from 'node:http';
import { printable } from '../../shared/command-line.ts';

/** A page over plain http whose answer is known beforehand. */
export interface KnownPage {
  readonly url: string;
  /** Its whole body, apart from space around it; null: it answers 204 and nothing else. */
  readonly text: string | null;
}

/**
 * `http://HOST/PATH#TEXT`: the fragment, which is never sent, is what the page says; without one it answers 204.
 * Throws an Error for the person who wrote the flag.
 */
export function parseKnownPage(written: string): KnownPage {
  const url = URL.parse(written);
  if (url?.protocol !== 'http:' || url.username)
    throw new Error(`--known-page ${written}: write it as http://detectportal.example/success.txt#success`);
  const text = decodeURIComponent(url.hash.slice(1));
  url.hash = '';
  return { url: url.href, text: text === '' ? null : text };
}

/** An answer over plain http, as far as it tells who answers. */
export interface PlainAnswer {
  readonly status: number;
  readonly location: string | null;
  /** Its beginning. */
  readonly body: string;
}

const mostBytes = 16_384;

/** Asks `address` for the page under its own name, on a connection of its own. Null for no answer in time. */
export function fetchPlain(url: string, address: string, timeoutMs: number): Promise<PlainAnswer | null> {
  const { hostname, port, pathname, search } = new URL(url);
  return new Promise((resolve) => {
    const settle = (answer: PlainAnswer | null) => {
      clearTimeout(timer);
      asking.destroy();
      resolve(answer);
    };
    const asking = request({
      host: address,
      port: Number(port || 80),
      path: `${pathname}${search}`,
      headers: { host: port ? `${hostname}:${port}` : hostname, accept: '*/*' },
      agent: false,
      maxHeaderSize: mostBytes,
    });
    const timer = setTimeout(settle, timeoutMs, null);
    asking.on('error', () => settle(null));
    asking.once('response', (response) => {
      const { statusCode: status = 0, headers } = response;
      const chunks: Buffer[] = [];
      let length = 0;
      const done = () =>
        settle({ status, location: headers.location ?? null, body: Buffer.concat(chunks).toString('utf8') });
      response.on('data', (chunk: Buffer) => {
        chunks.push(chunk.subarray(0, mostBytes - length));
        length += chunk.length;
        if (length >= mostBytes) done();
      });
      response.once('end', done);
      response.once('error', () => settle(null));
    });
    asking.end();
  });
}

/** Why this cannot be the page that was asked for; null where it can, or its own server is in trouble. */
export function alteredPage({ url, text }: KnownPage, answer: PlainAnswer): string | null {
  const where = new URL(url).host;
  const { status, body } = answer;
  if (status === 200 && body.trim() !== (text ?? '').trim())
    return `${where} answered another text than it is known for`;
  if (status === 200 && text === null) return `${where} answered 200 where it is known to answer 204`;
  return alteredHost(url, answer);
}

/**
 * Of the hub's own host on port 80, where anything may be: only what no such host would say counts, a way to another
 * host or a demand to sign in (RFC 6585, section 6). Null for all else.
 */
export function alteredHost(url: string, { status, location }: PlainAnswer): string | null {
  if (status === 511) return `${new URL(url).host} answered 511: this network wants a sign-in`;
  return location !== null && status >= 300 && status < 400 ? elsewhere(url, location) : null;
}

function elsewhere(url: string, location: string): string | null {
  const from = new URL(url);
  const to = URL.parse(location, url);
  if (!to) return null;
  const same =
    to.hostname === from.hostname ||
    to.hostname.endsWith(`.${from.hostname}`) ||
    from.hostname.endsWith(`.${to.hostname}`);
  // Part of it is a stranger's words, and its query may hold who we are.
  return same
    ? null
    : `${from.host} leads to ${printable(to.host).slice(0, 100)} over plain http: a captive portal`;
}
