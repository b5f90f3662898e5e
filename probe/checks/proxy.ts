/** The proxy that an endpoint names, which its owner has to open with `--allow-proxy`. */
export interface HttpProxy {
  readonly kind: 'http' | 'socks5';
  /** TLS to the proxy itself. */
  readonly secure: boolean;
  /** As in the URL: IPv6 in brackets. */
  readonly host: string;
  readonly port: number;
  readonly credentials: ProxyCredentials | null;
}

export interface ProxyCredentials {
  readonly username: string;
  readonly password: string;
}

const ports: Readonly<Record<string, number>> = { 'http:': 80, 'https:': 443, 'socks5:': 1080 };

/** `text` is a URL that the endpoint's schema let pass, its references resolved. Throws what URL throws, and for other schemes. */
export function proxyOf(text: string): HttpProxy {
  const url = new URL(text);
  const usual = ports[url.protocol];
  if (usual === undefined || url.hostname === '') throw new TypeError('not a proxy');
  const username = decodeURIComponent(url.username);
  const password = decodeURIComponent(url.password);
  return {
    kind: url.protocol === 'socks5:' ? 'socks5' : 'http',
    secure: url.protocol === 'https:',
    host: url.hostname,
    port: url.port === '' ? usual : Number(url.port),
    credentials: username === '' && password === '' ? null : { username, password },
  };
}

/** What an HTTP proxy asks of each request, in names and values in turn. */
export function proxyFields({ credentials }: HttpProxy): string[] {
  if (credentials === null) return [];
  const pair = Buffer.from(`${credentials.username}:${credentials.password}`).toString('base64');
  return ['proxy-authorization', `Basic ${pair}`];
}
