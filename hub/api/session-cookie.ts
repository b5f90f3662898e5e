import { isLoopback } from './client-address.ts';

/** The prefix makes browsers refuse one that is not Secure, has a domain or another path: no sibling host can set it. */
export const sessionCookie = '__Host-parallax';
/** For loopback http alone, where Safari keeps no Secure cookie; Chromium and Firefox do. */
export const loopbackCookie = 'parallax-loopback';

export interface CookieScene {
  readonly https: boolean;
  /** The request's Host. */
  readonly host: string;
}

const attributes = 'Path=/; HttpOnly; SameSite=Strict';

/** What the browser is to keep; empty where none would keep it: plain http to anything but this machine. */
export function sessionCookies(scene: CookieScene, value: string, maxAgeSeconds: number): string[] {
  const held = `${attributes}; Max-Age=${maxAgeSeconds}`;
  if (scene.https) return [`${sessionCookie}=${value}; ${held}; Secure`];
  if (!isLoopbackHost(scene.host)) return [];
  return [`${sessionCookie}=${value}; ${held}; Secure`, `${loopbackCookie}=${value}; ${held}`];
}

/** The session a request brings along, or null. */
export function sessionFrom(scene: CookieScene, header: string | undefined): string | null {
  if (!header) return null;
  const cookies = new Map<string, string>();
  for (const pair of header.split(';')) {
    const at = pair.indexOf('=');
    const name = pair.slice(0, at).trim();
    // Two of one name: somebody planted the other, and none is believed.
    if (at > 0) cookies.set(name, cookies.has(name) ? '' : pair.slice(at + 1).trim());
  }
  const plain = !scene.https && isLoopbackHost(scene.host) ? cookies.get(loopbackCookie) : undefined;
  return (cookies.get(sessionCookie) ?? plain) || null;
}

function isLoopbackHost(host: string): boolean {
  const name = URL.parse(`http://${host}`)?.hostname ?? '';
  return name === 'localhost' || isLoopback(name.replace(/^\[|\]$/g, ''));
}
