/** The proxy that an endpoint names, which its owner has to open with `--allow-proxy`. */
export interface HttpProxy {
  readonly secure: boolean;
  /** As in the URL: IPv6 in brackets. */
  readonly host: string;
  readonly port: number;
  /** The value of Proxy-Authorization, or null. */
  readonly authorization: string | null;
}

/** `text` is a URL that the endpoint's schema let pass, its references resolved. Throws what URL throws. */
export function proxyOf(text: string): HttpProxy {
  const url = new URL(text);
  const secure = url.protocol === 'https:';
  const pair = `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`;
  return {
    secure,
    host: url.hostname,
    port: url.port === '' ? (secure ? 443 : 80) : Number(url.port),
    authorization: pair === ':' ? null : `Basic ${Buffer.from(pair).toString('base64')}`,
  };
}

/** What the proxy asks of each request, in names and values in turn. */
export function proxyFields({ authorization }: HttpProxy): string[] {
  return authorization === null ? [] : ['proxy-authorization', authorization];
}
