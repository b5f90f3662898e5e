import type { SecureContext } from 'node:tls';
import type { TlsRequest } from '../../shared/request-parts.ts';
import { sniOf } from './http-plan.ts';
import { type Environment, resolveProbeValues } from './probe-values.ts';
import type { Place } from './reach.ts';
import type { TlsContexts } from './tls-contexts.ts';

/** What a handshake needs of an endpoint. */
export interface TlsTerms {
  readonly context: SecureContext;
  readonly verify: boolean;
  readonly name: string;
  readonly serverName: string | null;
}

interface SocketRequest {
  readonly ipFamily: Place['ipFamily'];
  readonly resolveTo?: string | undefined;
  readonly serverName?: string | undefined;
  readonly tls: TlsRequest;
}

/** Where an endpoint of a socket is, of the fields that all of them have. */
export function placeOf(host: string, port: number, request: SocketRequest): Place {
  const { ipFamily, resolveTo = null, serverName } = request;
  return { host, port, ipFamily, resolveTo, otherNames: serverName === undefined ? [] : [serverName] };
}

/** Throws what OpenSSL says of a PEM text, or a ProbeValueError. */
export function tlsTermsOf(
  host: string,
  { serverName = undefined, tls }: Pick<SocketRequest, 'serverName' | 'tls'>,
  { env, contexts }: { readonly env: Environment; readonly contexts: TlsContexts },
): TlsTerms {
  const { ca, cert, key, minVersion, verify } = tls;
  const own = (text: string | undefined) => (text === undefined ? undefined : resolveProbeValues(text, env));
  const sni = serverName ?? sniOf(host);
  return {
    context: contexts.get({ ca: own(ca), cert: own(cert), key: own(key), minVersion }),
    verify,
    name: sni ?? host.replace(/^\[|\]$/g, ''),
    serverName: sni,
  };
}
