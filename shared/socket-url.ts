/** What a URL of a socket names: tcp://host:port, tls://host[:port]. */
export interface SocketPlace {
  /** In ASCII and lower case; IPv6 in brackets. */
  readonly host: string;
  readonly port: number;
}

/**
 * Reads `scheme://host:port` and nothing more. `port` stands in for one that is left out; null: it must be there.
 * Of schemes that it does not know the URL standard checks no host and leaves it as written: as http it is read once
 * more, so that `tcp://127.1` is the 127.0.0.1 that a policy knows.
 */
export function socketPlaceOf(url: URL, port: number | null): SocketPlace | { readonly problem: string } {
  const form = `${url.protocol}//host${port === null ? ':port' : ''}`;
  const host = URL.parse(`http://${url.hostname}`)?.hostname;
  if (!url.hostname || !host) return { problem: 'the URL has no host' };
  const more = url.pathname.replace(/^\/$/, '') + url.search + url.hash;
  if (more !== '') return { problem: `'${more}' means nothing here: it is written ${form}` };
  const chosen = url.port === '' ? port : Number(url.port);
  if (chosen === null) return { problem: `the URL has no port: it is written ${form}` };
  return chosen === 0 ? { problem: 'nothing listens on port 0' } : { host, port: chosen };
}
