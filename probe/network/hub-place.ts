import { request as requestTls } from 'node:https';
import { getCACertificates } from 'node:tls';
import { keySetPath, verifyKeySet } from '../../shared/key-set.ts';
import { alteredHost, fetchPlain } from './known-page.ts';

/** Where the way to the hub begins, from here. */
export interface HubPlace {
  /** For a person. */
  readonly what: string;
  /** A name or an address, IPv6 without brackets. */
  readonly host: string;
  readonly port: number;
  /** A proxy leads there: what answers is the proxy, and says nothing of the network behind it. */
  readonly proxied: boolean;
}

type Env = Readonly<Record<string, string | undefined>>;

/** The hub itself, or the proxy that the environment puts before it. */
export function hubPlace(dial: string, env: Env): HubPlace {
  const url = new URL(dial);
  const proxy = proxyFor(url, env);
  const place = proxy ?? url;
  const secure = place.protocol === 'https:';
  return {
    what: proxy ? `the proxy to the hub (${place.host})` : 'the hub',
    host: place.hostname.replace(/^\[|\]$/g, ''),
    port: Number(place.port || (secure ? 443 : 80)),
    proxied: proxy !== null,
  };
}

function proxyFor(url: URL, env: Env): URL | null {
  const read = (name: string) => env[name.toLowerCase()] || env[name] || '';
  const named = read(url.protocol === 'https:' ? 'HTTPS_PROXY' : 'HTTP_PROXY') || '';
  const passed = read('NO_PROXY')
    .split(/[\s,]+/)
    .filter(Boolean)
    .some(
      (rule) =>
        rule === '*' || url.hostname === rule || url.hostname.endsWith(`.${rule.replace(/^\.|^\*\./, '')}`),
    );
  return named && !passed ? URL.parse(named) : null;
}

export interface HubDocument {
  readonly dial: string;
  /** The public URL: whose key set it must be. */
  readonly hub: string;
  /** Thumbprint of the root that was pinned at the enrollment. */
  readonly root: string;
  readonly ca: string | null;
}

const mostBytes = 64 * 1024;

/**
 * Why the hub's own document, signed by a root that this probe knows, is not what answers here: it was altered, leads
 * elsewhere, or comes under somebody else's certificate. Null where it is whole, or nothing can be said.
 */
export async function alteredHub(
  { dial, hub, root, ca }: HubDocument,
  address: string,
  timeoutMs: number,
): Promise<string | null> {
  const url = `${dial.replace(/\/+$/, '')}${keySetPath}`;
  if (url.startsWith('https:')) return askTls(url, address, ca, timeoutMs);
  const answer = await fetchPlain(url, address, timeoutMs);
  if (!answer) return null;
  const elsewhere = alteredHost(url, answer);
  if (elsewhere !== null || answer.status !== 200) return elsewhere;
  try {
    await verifyKeySet(JSON.parse(answer.body), root, { issuer: hub });
    return null;
  } catch {
    return "what answers in the hub's place is not the hub: its signed document is altered";
  }
}

const certificateTrouble = /^(DEPTH_ZERO|SELF_SIGNED|UNABLE_TO|CERT_|ERR_TLS_CERT_ALTNAME)/;

/** By its certificate alone: what an intercepting network cannot forge. */
function askTls(url: string, address: string, ca: string | null, timeoutMs: number): Promise<string | null> {
  const { hostname, port, pathname } = new URL(url);
  return new Promise((resolve) => {
    const settle = (why: string | null) => {
      clearTimeout(timer);
      asking.destroy();
      resolve(why);
    };
    const asking = requestTls({
      host: address,
      port: Number(port || 443),
      servername: hostname,
      path: pathname,
      method: 'HEAD',
      headers: { host: port ? `${hostname}:${port}` : hostname },
      agent: false,
      maxHeaderSize: mostBytes,
      ...(ca !== null && { ca: [...getCACertificates('default'), ca] }),
    });
    const timer = setTimeout(settle, timeoutMs, null);
    asking.once('response', () => settle(null));
    asking.on('error', ({ code = '' }: NodeJS.ErrnoException) =>
      settle(
        certificateTrouble.test(code)
          ? `what answers in the hub's place shows somebody else's certificate (${code})`
          : null,
      ),
    );
    asking.end();
  });
}
