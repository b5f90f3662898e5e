import { isIP, type Socket } from 'node:net';
import type { SecureContext } from 'node:tls';
import type { Dispatcher } from 'undici';
import { type Failure, failure } from '../../shared/failure.ts';
import { type Attempt, addPhase, interrupted } from './attempt.ts';
import { dial } from './dial.ts';
import { handshake } from './handshake.ts';
import { watchWire } from './http-exchange.ts';
import { type Hop, type HttpPlan, sniOf } from './http-plan.ts';
import { type HttpProxy, proxyFields } from './proxy.ts';
import type { ReachDeps } from './reach.ts';
import { isThisMachine } from './resolve.ts';
import { maxHeaderBytes, socketClient } from './socket-client.ts';
import { openSocks } from './socks.ts';

/**
 * The connection over which this hop's request goes. A name is the proxy's to resolve, and so where it leads: that is
 * what `--allow-proxy` opens. An address that the endpoint or a redirect names is vetted here like any other, and so
 * is the proxy's own.
 */
export async function connectByProxy(
  hop: Hop,
  proxy: HttpProxy,
  plan: HttpPlan,
  attempt: Attempt,
  deps: ReachDeps,
): Promise<Socket | Failure> {
  const { policy, resolver } = deps;
  if (!policy.allowProxy)
    return failure('policy.blocked', 'this probe goes through proxies only with --allow-proxy');
  const resolveTo = hop.trusted ? plan.resolveTo : null;
  const target = addressOf(resolveTo ?? hop.host);
  const refused =
    (target === null ? null : policy.refuseAddress(target, hop.port)) ??
    policy.refuseHost(proxy.host, proxy.port);
  if (refused !== null) return failure('policy.blocked', refused);
  const addresses = await resolver.resolve(proxy.host, 'any', attempt);
  if ('code' in addresses) return onTheWay(addresses);
  const tcp = await dial(addresses, proxy.port, attempt, deps);
  if ('code' in tcp) return onTheWay(tcp);
  const socket = proxy.secure ? await secureProxy(tcp, proxy, plan.strangerContext, attempt) : tcp;
  if ('code' in socket || !tunnels(hop, plan)) return socket;
  if (proxy.kind === 'socks5') {
    const bare = resolveTo ?? hop.host.replace(/^\[|\]$/g, '');
    return openSocks(socket, bare, hop.port, proxy.credentials, attempt);
  }
  const host = resolveTo === null ? hop.host : isIP(resolveTo) === 6 ? `[${resolveTo}]` : resolveTo;
  return openTunnel(socket, `${host}:${hop.port}`, proxyFields(proxy), attempt);
}

/**
 * Plain HTTP is asked of an HTTP proxy itself: many open no tunnel but to port 443. Only a tunnel can lead elsewhere
 * than the name says. SOCKS knows nothing but tunnels.
 */
export function tunnels(hop: Hop, plan: HttpPlan): boolean {
  return hop.secure || plan.proxy?.kind === 'socks5' || (hop.trusted && plan.resolveTo !== null);
}

/** The request as a proxy takes it: the whole URL in its first line (RFC 9112, section 3.2.2). */
export function askedOfProxy(hop: Hop, proxy: HttpProxy): Hop {
  return {
    ...hop,
    path: `${hop.url.origin}${hop.path}`,
    headers: [...hop.headers, ...proxyFields(proxy)],
  };
}

/** Where a host leads that needs no resolver; null for a name. */
function addressOf(host: string): string | null {
  const bare = host.replace(/^\[|\]$/g, '');
  if (isIP(bare) !== 0) return bare;
  return isThisMachine(bare) ? '127.0.0.1' : null;
}

/**
 * What went wrong between here and the proxy is the way's fault, never the target's. What is the probe's own, or the
 * resolver's, stays so.
 */
function onTheWay(why: Failure): Failure {
  if (why.source === 'probe' || why.source === 'resolver') return why;
  const code = why.code.endsWith('.timeout') ? 'connect.timeout' : 'connect.unreachable';
  return failure(code, `the proxy: ${why.message}`);
}

/** TLS to the proxy itself; its certificate is verified, whatever the endpoint says of its target's. */
async function secureProxy(
  tcp: Socket,
  { host }: HttpProxy,
  context: SecureContext,
  attempt: Attempt,
): Promise<Socket | Failure> {
  const serverName = sniOf(host);
  const name = serverName ?? host.replace(/^\[|\]$/g, '');
  const secured = await handshake(
    tcp,
    { context, name, serverName, verify: true, alpn: ['http/1.1'] },
    attempt,
  );
  return 'failure' in secured ? onTheWay(secured.failure) : secured.socket;
}

const mostBytes = 2 * maxHeaderBytes;

/** Asks the proxy for a connection to `authority` (RFC 9110, section 9.3.6); it counts as time to connect. */
function openTunnel(
  socket: Socket,
  authority: string,
  fields: readonly string[],
  attempt: Attempt,
): Promise<Socket | Failure> {
  return new Promise((resolve) => {
    const began = performance.now();
    let settled = false;
    const done = (outcome: Socket | Failure) => {
      if (settled) return;
      settled = true;
      attempt.interrupt = null;
      addPhase(attempt, 'connect', began);
      resolve(outcome);
      if ('code' in outcome) socket.destroy();
    };
    if (attempt.ended) return done(onTheWay(interrupted(attempt.ended, 'connect', attempt)));
    attempt.interrupt = (why) => done(onTheWay(interrupted(why, 'connect', attempt)));
    const refuse = (status: number) => {
      const why =
        status === 407 ? 'wants other credentials (407)' : `answered ${status} to CONNECT ${authority}`;
      done(failure('connect.unreachable', `the proxy ${why}`));
    };
    watchWire(socket, mostBytes, (version) => {
      if (version === null) done(failure('connect.unreachable', 'the proxy: its answer does not end'));
    });
    const handler: Dispatcher.DispatchHandler = {
      onConnect() {},
      onHeaders(status) {
        refuse(status);
        return true;
      },
      onData: () => true,
      onComplete() {},
      onUpgrade(status) {
        if (status >= 200 && status < 300) done(socket);
        else refuse(status);
      },
      onError(error) {
        const code = (error as NodeJS.ErrnoException).code ?? error.name;
        done(failure('connect.unreachable', `the proxy gave no connection to ${authority} (${code})`));
      },
    };
    const client = socketClient(`http://${authority}`, socket);
    client.dispatch({ path: authority, method: 'CONNECT', headers: ['host', authority, ...fields] }, handler);
  });
}
