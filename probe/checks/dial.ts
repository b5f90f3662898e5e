import { connect, isIP, type Socket } from 'node:net';
import { type Failure, failure } from '../../shared/failure.ts';
import type { TargetPolicy } from '../policy/target-policy.ts';
import { type Attempt, addPhase, interrupted } from './attempt.ts';
import type { DestinationGate } from './destination-gate.ts';

/** The one call that opens a connection to a target; a seam, so that a test can see what would have been dialled. */
export type OpenSocket = (address: string, port: number) => Socket;

export const openSocket: OpenSocket = (address, port) =>
  // The address is a literal: neither lookup nor Happy Eyeballs has a say in where this goes.
  connect({ host: address, port, family: isIP(address), noDelay: true, autoSelectFamily: false });

export interface DialDeps {
  readonly policy: TargetPolicy;
  readonly open: OpenSocket;
  readonly gate: DestinationGate;
}

/**
 * Dials vetted addresses one after the other until one answers. What the policy refuses is left out; where nothing
 * remains the check is blocked. The socket has an error listener, so that a late reset never becomes uncaught.
 */
export async function dial(
  addresses: readonly string[],
  port: number,
  attempt: Attempt,
  { policy, open, gate }: DialDeps,
): Promise<Socket | Failure> {
  let failed: Failure | null = null;
  let refusal: string | null = null;
  for (const address of addresses) {
    const refused = policy.refuseAddress(address, port);
    if (refused !== null) {
      refusal ??= refused;
      continue;
    }
    const began = performance.now();
    const destination = destinationOf(address, port);
    const full = isLoopback(address) ? null : gate.enter(destination, began);
    if (full !== null) return failure('probe.saturated', full);
    const dialled = await dialOne(address, port, attempt, open, () => gate.leave(destination));
    addPhase(attempt, 'connect', began);
    if (!('code' in dialled)) {
      const peer = refusePeer(dialled, address, port, policy);
      if (peer === null) return dialled;
      dialled.destroy();
      return failure('policy.blocked', peer);
    }
    failed = dialled;
    if (attempt.ended) break;
  }
  return failed ?? failure('policy.blocked', refusal ?? 'no address to connect to');
}

/** An address and a port as one text, as a gate knows them. */
export const destinationOf = (address: string, port: number) =>
  isIP(address) === 6 ? `[${address}]:${port}` : `${address}:${port}`;

/** Its owner named this machine itself: nobody else can be hurt, and loads are tried here. */
export const isLoopback = (address: string) => address.startsWith('127.') || address === '::1';

function dialOne(
  address: string,
  port: number,
  attempt: Attempt,
  open: OpenSocket,
  closed: () => void,
): Promise<Socket | Failure> {
  return new Promise((resolve) => {
    if (attempt.ended) {
      closed();
      return resolve(interrupted(attempt.ended, 'connect', attempt));
    }
    const socket = open(address, port);
    socket.once('close', closed);
    let settled = false;
    const done = (outcome: Socket | Failure) => {
      // The listener stays for good: a late reset must find one, and has nothing more to say here.
      if (settled) return;
      settled = true;
      attempt.interrupt = null;
      resolve(outcome);
    };
    attempt.interrupt = (why) => {
      socket.destroy();
      done(interrupted(why, 'connect', attempt));
    };
    socket.on('error', (error: NodeJS.ErrnoException) => done(connectFailure(error, address, port)));
    socket.once('connect', () => done(socket));
  });
}

/** The kernel says who is at the other end: the address that was vetted, or nothing is sent. */
function refusePeer(socket: Socket, address: string, port: number, policy: TargetPolicy): string | null {
  const peer = socket.remoteAddress?.replace(/^::ffff:(?=\d+\.\d+\.\d+\.\d+$)/i, '');
  if (peer === undefined) return 'the connection closed before its peer was known';
  if (peer === address && socket.remotePort === port) return null;
  return policy.refuseAddress(peer, socket.remotePort ?? 0);
}

/** What the kernel says of a target that cannot be reached, or of this machine. */
export function connectFailure(error: NodeJS.ErrnoException, address: string, port: number): Failure {
  const where = destinationOf(address, port);
  switch (error.code) {
    case 'ECONNREFUSED':
      return failure('connect.refused', `${where} refused the connection`);
    case 'ETIMEDOUT':
      return failure('connect.timeout', `${where} did not answer`);
    case 'ECONNRESET':
    case 'ECONNABORTED':
    case 'EPIPE':
      return failure('connect.reset', `${where} reset the connection`);
    case 'EHOSTUNREACH':
    case 'ENETUNREACH':
    case 'EHOSTDOWN':
    case 'ENETDOWN':
    case 'EACCES':
    case 'EPERM':
    case 'EINVAL':
    case 'EAFNOSUPPORT':
      return failure('connect.unreachable', `${where} cannot be reached (${error.code})`);
    case 'EADDRNOTAVAIL':
      if (isIP(address) === 6) return failure('connect.unreachable', `this machine has no way to ${where}`);
      return failure('probe.saturated', 'this machine has no free port left for one more connection');
    // The probe's own machine is out of something: never the target's fault.
    case 'EMFILE':
    case 'ENFILE':
    case 'ENOBUFS':
    case 'ENOMEM':
      return failure('probe.saturated', `this machine cannot open more connections (${error.code})`);
    default:
      return failure('connect.unreachable', `${where}: ${error.code ?? error.message}`);
  }
}
