import { getServers } from 'node:dns';
import { isIP } from 'node:net';
import type { SecureContext } from 'node:tls';
import type { AssignmentOf } from '../../shared/assignment.ts';
import { type DnsUrl, dnsQuestionOf } from '../../shared/dns-question.ts';
import { type Failure, failure } from '../../shared/failure.ts';
import type { DnsPlace } from './dns-datagram.ts';
import { type Environment, ProbeValueError, resolveProbeValues } from './probe-values.ts';
import type { Place } from './reach.ts';
import type { TlsContexts } from './tls-contexts.ts';

/** An assignment as the check needs it. */
export interface DnsPlan {
  readonly asked: DnsUrl;
  readonly request: AssignmentOf<'dns'>['request'];
  readonly expect: AssignmentOf<'dns'>['expect'];
  /** The server that the URL names; null: the machine's resolvers. */
  readonly place: Place | null;
  /** Null without TLS. */
  readonly tls: {
    readonly context: SecureContext;
    readonly name: string;
    readonly serverName: string | null;
  } | null;
}

export const dnsPort = 53;
const tlsPort = 853;

export function compileDnsPlan(
  { url, request, expect }: AssignmentOf<'dns'>,
  { env, contexts }: { readonly env: Environment; readonly contexts: TlsContexts },
): DnsPlan | Failure {
  const asked = dnsQuestionOf(new URL(url));
  if ('problem' in asked) return failure('probe.internal', asked.problem);
  const isTls = request.transport === 'tls';
  const place: Place | null =
    asked.server === null
      ? null
      : {
          host: asked.server,
          port: asked.port ?? (isTls ? tlsPort : dnsPort),
          ipFamily: request.ipFamily,
          resolveTo: request.resolveTo ?? null,
          otherNames: request.serverName === undefined ? [] : [request.serverName],
        };
  try {
    return {
      asked,
      request,
      expect,
      place,
      tls: isTls && place ? tlsOf(request, place.host, env, contexts) : null,
    };
  } catch (error) {
    if (error instanceof ProbeValueError) return failure('probe.internal', error.message);
    // The code alone: what OpenSSL says of a key may quote it.
    const code = error instanceof Error ? ((error as NodeJS.ErrnoException).code ?? error.name) : 'unknown';
    return failure('probe.internal', `the endpoint cannot be prepared: ${code}`);
  }
}

function tlsOf(
  { tls, serverName }: DnsPlan['request'],
  host: string,
  env: Environment,
  contexts: TlsContexts,
): DnsPlan['tls'] {
  const { ca, cert, key, minVersion } = tls;
  const own = (text: string | undefined) => (text === undefined ? undefined : resolveProbeValues(text, env));
  const bare = host.replace(/^\[|\]$/g, '');
  return {
    context: contexts.get({ ca: own(ca), cert: own(cert), key: own(key), minVersion }),
    name: serverName ?? bare.replace(/\.$/, ''),
    serverName: serverName ?? (isIP(bare) === 0 ? bare.replace(/\.$/, '') : null),
  };
}

/** The resolvers that this machine's owner has set; `given` in their place, as `IP` or `IP:port`. */
export function machineServers(given: string | undefined): readonly DnsPlace[] {
  return (given === undefined ? getServers() : [given]).map((text) => {
    const parts = /^(?:\[([^\]]+)\](?::(\d+))?|([^:]+):(\d+)|(.+))$/.exec(text);
    const address = parts?.[1] ?? parts?.[3] ?? parts?.[5] ?? text;
    return { address, port: Number(parts?.[2] ?? parts?.[4] ?? dnsPort) };
  });
}
