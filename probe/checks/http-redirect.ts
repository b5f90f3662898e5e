import { type Failure, failure } from '../../shared/failure.ts';
import { type Hop, makeHop, shownUrl } from './http-plan.ts';

const redirectStatuses = new Set([301, 302, 303, 307, 308]);

export function isRedirect(status: number): boolean {
  return redirectStatuses.has(status);
}

/** Of all headers that an endpoint may have, these alone can go to an origin that it did not name. */
const harmless = new Set([
  'accept',
  'accept-encoding',
  'accept-language',
  'cache-control',
  'pragma',
  'user-agent',
]);

/**
 * Where a redirect leads (RFC 9110, section 15.4). A 303 becomes GET, and so does the POST of a 301 or 302, as every
 * browser has it. To another origin no credentials go along: any header of the endpoint's own may be one, and a body
 * too, so that a 307 or 308 with a body to another origin is refused.
 */
export function nextHop(from: Hop, status: number, location: string): Hop | Failure {
  let url: URL;
  try {
    url = new URL(location, from.url);
  } catch {
    return failure('http.redirects', `${shownUrl(from.url)} redirects to what is not a URL`);
  }
  if (url.protocol !== 'http:' && url.protocol !== 'https:')
    return failure('http.redirects', `${shownUrl(from.url)} redirects to a ${url.protocol} address`);
  url.username = '';
  url.password = '';
  url.hash = '';
  const keepsMethod =
    status === 307 ||
    status === 308 ||
    from.method === 'HEAD' ||
    from.method === 'GET' ||
    (status !== 303 && from.method !== 'POST');
  const method = keepsMethod ? from.method : 'GET';
  const body = keepsMethod ? from.body : null;
  const same = staysAtHome(from.url, url);
  if (!same && body)
    return failure(
      'http.redirects',
      `${shownUrl(from.url)} wants the body sent on to another origin, ${url.origin}`,
    );
  const headers = keepFields(from.headers, (name) => {
    if (!same && !harmless.has(name)) return false;
    return body !== null || from.body === null || !name.startsWith('content-');
  });
  return makeHop(url, method, headers, body, from.trusted && same);
}

/** The same origin, or the same host's step from plain HTTP to TLS on the usual ports. */
function staysAtHome(from: URL, to: URL): boolean {
  if (from.origin === to.origin) return true;
  const upgrade = from.protocol === 'http:' && to.protocol === 'https:' && from.port === '' && to.port === '';
  return upgrade && from.hostname === to.hostname;
}

export function harmlessFields(fields: readonly string[]): string[] {
  return keepFields(fields, (name) => harmless.has(name));
}

function keepFields(fields: readonly string[], keep: (name: string) => boolean): string[] {
  const kept: string[] = [];
  for (let at = 0; at < fields.length; at += 2) {
    const [name = '', value = ''] = fields.slice(at, at + 2);
    if (keep(name.toLowerCase())) kept.push(name, value);
  }
  return kept;
}
