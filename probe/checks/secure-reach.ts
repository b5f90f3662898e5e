import type { Socket } from 'node:net';
import type { SecureContext } from 'node:tls';
import type { Failure } from '../../shared/failure.ts';
import type { Attempt } from './attempt.ts';
import { handshake } from './handshake.ts';
import { sniOf } from './http-plan.ts';
import type { Findings } from './observed.ts';
import { type Place, type ReachDeps, reach } from './reach.ts';

/** TLS from the first byte, as an endpoint asks for it. */
export interface TlsWish {
  readonly context: SecureContext;
  readonly verify: boolean;
  /** In place of the host, for SNI and the certificate's name. */
  readonly serverName: string | null;
  readonly alpn: readonly string[];
}

/** A connection within the policy, with TLS over it where `tls` is given. What was seen on the way is in `findings`. */
export async function reachSecured(
  place: Place,
  tls: TlsWish | null,
  attempt: Attempt,
  findings: Findings,
  deps: ReachDeps,
): Promise<Socket | Failure> {
  const tcp = await reach(place, attempt, deps);
  if ('code' in tcp) return tcp;
  findings.remoteIp = tcp.remoteAddress ?? null;
  if (!tls) return tcp;
  const serverName = tls.serverName ?? sniOf(place.host);
  const name = serverName ?? place.host.replace(/^\[|\]$/g, '');
  const { context, verify, alpn } = tls;
  const secured = await handshake(tcp, { context, name, serverName, verify, alpn }, attempt);
  findings.tls = secured.facts;
  return 'failure' in secured ? secured.failure : secured.socket;
}
