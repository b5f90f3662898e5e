import type * as z from 'zod';
import { dnsRules } from './endpoint-dns.ts';
import { grpcRules } from './endpoint-grpc.ts';
import { httpRules } from './endpoint-http.ts';
import { pingRules } from './endpoint-ping.ts';
import { tcpRules } from './endpoint-tcp.ts';
import { tlsRules } from './endpoint-tls.ts';
import { wsRules } from './endpoint-ws.ts';

/** Adding a protocol is one file with its rules and one line here, and one file and one line in probe/checks. */
export const protocols = {
  http: httpRules,
  ws: wsRules,
  grpc: grpcRules,
  dns: dnsRules,
  ping: pingRules,
  tcp: tcpRules,
  tls: tlsRules,
} as const;

export type ProtocolName = keyof typeof protocols;
export const protocolNames = Object.keys(protocols) as ProtocolName[];

export type RequestOf<P extends ProtocolName> = z.output<(typeof protocols)[P]['request']>;
export type ExpectOf<P extends ProtocolName> = z.output<(typeof protocols)[P]['expect']>;

const byScheme = new Map<string, ProtocolName>(
  protocolNames.flatMap((name) => protocols[name].schemes.map((scheme) => [scheme, name] as const)),
);
export const knownSchemes = [...byScheme.keys()];

export function protocolOfUrl(url: string): ProtocolName | null {
  const scheme = /^([a-z][a-z0-9+.-]*):/i.exec(url)?.[1]?.toLowerCase();
  return (scheme !== undefined && byScheme.get(scheme)) || null;
}
