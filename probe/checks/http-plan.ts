import { isIP } from 'node:net';
import type { SecureContext } from 'node:tls';
import type { AssignmentOf } from '../../shared/assignment.ts';
import { type Failure, failure } from '../../shared/failure.ts';
import { compileExpectations, type Expectations } from './http-expect.ts';
import { type Environment, ProbeValueError, resolveProbeValues } from './probe-values.ts';
import { type HttpProxy, proxyOf } from './proxy.ts';
import { createRetryAfter, type RetryAfter } from './retry-after.ts';
import type { TlsContexts } from './tls-contexts.ts';

/** One request of a check: the first, or one that a redirect asked for. */
export interface Hop {
  readonly url: URL;
  readonly secure: boolean;
  /** As in the URL: IPv6 in brackets. */
  readonly host: string;
  readonly port: number;
  readonly method: string;
  readonly path: string;
  /** Names and values in turn, as undici takes them. */
  readonly headers: readonly string[];
  readonly body: Buffer | null;
  /** Whether what was meant for the endpoint alone (credentials, resolveTo, serverName, client certificate) goes along. */
  readonly trusted: boolean;
}

/** An assignment as the check needs it: parsed, resolved and vetted once, not on every run. */
export interface HttpPlan {
  readonly first: Hop;
  readonly maxRedirects: number;
  /** What TLS offers the server to speak; '2' alone is refused over plain connections, and by a server without it. */
  readonly httpVersion: '1.1' | '2' | 'any';
  readonly ipFamily: 'any' | '4' | '6';
  /** Whether every address of the name is asked, rather than one that answers. */
  readonly eachAddress: boolean;
  readonly resolveTo: string | null;
  /** Every hop goes through it. */
  readonly proxy: HttpProxy | null;
  readonly serverName: string | null;
  readonly verify: boolean;
  readonly context: SecureContext;
  /** For origins that the endpoint did not name: without the client certificate. */
  readonly strangerContext: SecureContext;
  readonly robots: boolean;
  /** Of this endpoint's checks at this probe; null where it does not care. */
  readonly retryAfter: RetryAfter | null;
  readonly maxBodyBytes: number;
  /** Whether somebody will read the body: else its bytes are only counted. */
  readonly keepsBody: boolean;
  readonly expect: Expectations;
  /** Other names that the endpoint calls its target by (Host, SNI), without a port. */
  readonly otherNames: readonly string[];
}

export interface PlanDeps {
  /** Epoch milliseconds. */
  readonly now: () => number;
  readonly env: Environment;
  readonly contexts: TlsContexts;
  readonly userAgent: string;
}

const acceptEncodings = {
  identity: 'identity',
  gzip: 'gzip',
  br: 'br',
  deflate: 'deflate',
  zstd: 'zstd',
  any: 'gzip, br, deflate, zstd',
} as const;

/** Written by the client itself: an own value would make another message than the one that is sent. */
const ownHeaders = new Set([
  'connection',
  'content-length',
  'expect',
  'keep-alive',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);

/** A failure is the endpoint's configuration meeting this probe: `probe.internal` with what to change. */
export function compileHttpPlan(assignment: AssignmentOf<'http'>, deps: PlanDeps): HttpPlan | Failure {
  try {
    return planOf(assignment, deps);
  } catch (error) {
    const known = error instanceof ProbeValueError || error instanceof PlanError;
    return failure(
      'probe.internal',
      known ? error.message : `the endpoint cannot be prepared: ${errorCode(error)}`,
    );
  }
}

class PlanError extends Error {}

/** The code alone: what OpenSSL says of a key may quote it. */
function errorCode(error: unknown): string {
  return error instanceof Error ? ((error as NodeJS.ErrnoException).code ?? error.name) : 'unknown error';
}

function planOf({ url: text, request, expect, robots }: AssignmentOf<'http'>, deps: PlanDeps): HttpPlan {
  const { env, contexts, userAgent, now } = deps;
  const url = new URL(text);
  const own = (value: string) => resolveProbeValues(value, env);
  const body = request.body === '' ? null : Buffer.from(own(request.body));
  const headers = new Headed();
  for (const [name, value] of Object.entries(request.headers)) headers.set(name, own(value));
  if (request.basicAuth) {
    const pair = `${own(request.basicAuth.username)}:${own(request.basicAuth.password)}`;
    headers.set('authorization', `Basic ${Buffer.from(pair).toString('base64')}`);
  }
  if (request.bearer !== undefined) headers.set('authorization', `Bearer ${own(request.bearer)}`);
  headers.setDefault('user-agent', userAgent);
  headers.setDefault('accept', '*/*');
  headers.setDefault('accept-encoding', acceptEncodings[request.compression]);
  const expectations = compileExpectations(expect);
  const { ca, cert, key, minVersion, verify } = request.tls;
  const pem = (value: string | undefined) => (value === undefined ? undefined : own(value));
  const stranger = { ca: pem(ca), minVersion };
  return {
    first: makeHop(url, request.method, headers.flat(), body, true),
    maxRedirects: request.redirects,
    httpVersion: request.httpVersion,
    ipFamily: request.ipFamily,
    // Elsewhere it is not the name's addresses that are dialled.
    eachAddress:
      request.addresses === 'each' && request.resolveTo === undefined && request.proxy === undefined,
    resolveTo: request.resolveTo ?? null,
    proxy: request.proxy === undefined ? null : readProxy(own(request.proxy)),
    serverName: request.serverName ?? null,
    verify,
    context: contexts.get({ ...stranger, cert: pem(cert), key: pem(key) }),
    strangerContext: contexts.get(stranger),
    robots: robots === 'respect',
    retryAfter: request.retryAfter === 'respect' ? createRetryAfter(now) : null,
    maxBodyBytes: expect.maxBodyBytes,
    keepsBody: expectations.body !== null,
    expect: expectations,
    otherNames: [hostOf(headers.get('host')), request.serverName ?? ''].filter((name) => name !== ''),
  };
}

/** What it says stands in no message: it may hold credentials. */
function readProxy(text: string): HttpProxy {
  try {
    return proxyOf(text);
  } catch {
    throw new PlanError('request.proxy is not an address like http://proxy.example:3128');
  }
}

/** Header fields, one value a name whatever its case. */
class Headed {
  readonly #fields = new Map<string, readonly [name: string, value: string]>();

  set(name: string, value: string): void {
    const key = name.toLowerCase();
    if (ownHeaders.has(key))
      throw new PlanError(`the header ${key} is the client's own: leave it out of request.headers`);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is refused
    if (/[\u0000-\u0008\u000a-\u001f\u007f]/.test(value))
      throw new PlanError(`the value of the header ${key} holds a control character`);
    // Beyond Latin-1 a field value is UTF-8 bytes, which undici takes as Latin-1 text.
    // biome-ignore lint/suspicious/noControlCharactersInRegex: ASCII as a range
    const wire = /^[\u0000-\u007f]*$/.test(value) ? value : Buffer.from(value).toString('latin1');
    this.#fields.set(key, [name, wire]);
  }

  get(name: string): string {
    return this.#fields.get(name)?.[1] ?? '';
  }

  setDefault(name: string, value: string): void {
    if (!this.#fields.has(name)) this.set(name, value);
  }

  flat(): string[] {
    return [...this.#fields.values()].flat();
  }
}

export function makeHop(
  url: URL,
  method: string,
  headers: readonly string[],
  body: Buffer | null,
  trusted: boolean,
): Hop {
  const secure = url.protocol === 'https:';
  return {
    url,
    secure,
    host: url.hostname,
    port: url.port === '' ? (secure ? 443 : 80) : Number(url.port),
    method,
    path: `${url.pathname}${url.search}`,
    headers,
    body,
    trusted,
  };
}

/** A Host header's host, its port left out. */
const hostOf = (field: string) => field.replace(/:\d*$/, '');

/** SNI for a host: never an address, never a trailing dot. */
export function sniOf(host: string): string | null {
  return host.startsWith('[') || isIP(host) !== 0 ? null : host.replace(/\.$/, '');
}

/** A URL as messages may show it: no query string, no fragment, no user name. */
export function shownUrl(url: URL): string {
  return `${url.protocol}//${url.host}${url.pathname}`;
}
