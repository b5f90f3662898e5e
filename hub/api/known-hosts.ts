import { Problem } from '../problem.ts';
import { isLoopback } from './client-address.ts';

export interface KnownHostsOptions {
  readonly publicUrl: string;
  /** PARALLAX_HOSTS. */
  readonly hosts: readonly string[];
  readonly listenHost: string;
}

/**
 * Throws Problem 421 unless the request names a host that is ours: a page elsewhere whose name is made to lead to our
 * address (DNS rebinding) then gets nothing. The port does not count: a forwarded one may be another. An address may
 * also be the very one the request came in on, since no name leads there.
 */
export function knownHosts({ publicUrl, hosts, listenHost }: KnownHostsOptions) {
  const ours = new Set([hostOf(publicUrl), ...hosts.map((host) => host.toLowerCase())]);
  const everywhere = listenHost === '0.0.0.0' || listenHost === '::';
  if (!everywhere) ours.add(inUrl(listenHost));
  if (everywhere || listenHost === 'localhost' || isLoopback(listenHost)) {
    for (const name of ['localhost', '127.0.0.1', '[::1]']) ours.add(name);
  }
  return (named: string | undefined, url: string, localAddress: string | undefined): void => {
    const wanted = named === undefined ? null : (URL.parse(`http://${named}`)?.hostname ?? null);
    const same = wanted !== null && wanted === hostOf(url);
    const here = localAddress === undefined ? null : inUrl(localAddress.replace(/^::ffff:/, ''));
    if (same && (ours.has(wanted) || wanted === here)) return;
    throw new Problem(
      421,
      'host.unknown',
      'this host name is not one of this hub: use the address of PARALLAX_PUBLIC_URL, or add the name to PARALLAX_HOSTS',
    );
  };
}

function hostOf(url: string): string {
  return URL.parse(url)?.hostname ?? '';
}

function inUrl(host: string): string {
  return URL.parse(`http://${host.includes(':') ? `[${host}]` : host}`)?.hostname ?? host.toLowerCase();
}
