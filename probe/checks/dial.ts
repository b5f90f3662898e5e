import { connect, isIP, type Socket } from 'node:net';
import { type Failure, failure } from '../../shared/failure.ts';
import type { TargetPolicy } from '../policy/target-policy.ts';
import type { Attempt } from './attempt.ts';
import type { DestinationGate } from './destination-gate.ts';
import { type Runner, race, type Tried } from './race.ts';
import type { LateAddresses } from './resolve.ts';
import { noteErrno } from './trace.ts';

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

/** What a caller has or wants beside a connection. */
export interface DialNotes {
  /** Addresses that are still looked up. */
  readonly late?: LateAddresses;
  /** Filled with what was dialled, in order. */
  readonly tried?: Tried[];
}

/**
 * A connection to the first of the vetted addresses that answers (race.ts). What the policy refuses is left out; where
 * nothing remains the check is blocked. The socket has an error listener, so that a late reset never becomes uncaught.
 */
export async function dial(
  addresses: readonly string[],
  port: number,
  attempt: Attempt,
  { policy, open, gate }: DialDeps,
  { late, tried = [] }: DialNotes = {},
): Promise<Socket | Failure> {
  let refusal: string | null = null;
  const vet = (found: readonly string[]) =>
    found.filter((address) => {
      const refused = policy.refuseAddress(address, port);
      refusal ??= refused;
      return refused === null;
    });
  const won = await race({
    addresses: vet(addresses),
    late: late ?? null,
    attempt,
    vet,
    tried,
    start(address, done) {
      const destination = destinationOf(address, port);
      const full = isLoopback(address) ? null : gate.enter(destination, performance.now());
      if (full !== null) return failure('probe.saturated', full);
      attempt.trace.address = destination;
      return dialOne(address, port, attempt, open, () => gate.leave(destination), done);
    },
  });
  if (won === null) return failure('policy.blocked', refusal ?? 'no address to connect to');
  if ('code' in won) return won;
  const address = tried.find(({ outcome }) => outcome === 'connected')?.address ?? '';
  if (tried.length > 1) attempt.trace.address = destinationOf(address, port);
  const peer = refusePeer(won, address, port, policy);
  if (peer === null) return won;
  won.destroy();
  return failure('policy.blocked', peer);
}

/** An address and a port as one text, as a gate knows them. */
export const destinationOf = (address: string, port: number) =>
  isIP(address) === 6 ? `[${address}]:${port}` : `${address}:${port}`;

/** Its owner named this machine itself: nobody else can be hurt, and loads are tried here. */
export const isLoopback = (address: string) => address.startsWith('127.') || address === '::1';

function dialOne(
  address: string,
  port: number,
  { trace }: Attempt,
  open: OpenSocket,
  closed: () => void,
  done: (outcome: Socket | Failure) => void,
): Runner {
  const socket = open(address, port);
  socket.once('close', closed);
  let settled = false;
  // The listener stays for good: a late reset must find one, and has nothing more to say here.
  socket.on('error', (error: NodeJS.ErrnoException) => {
    if (settled) return;
    settled = true;
    noteErrno(trace, error);
    done(connectFailure(error, address, port));
  });
  socket.once('connect', () => {
    if (settled) return;
    settled = true;
    done(socket);
  });
  return {
    giveUp() {
      settled = true;
      socket.destroy();
    },
  };
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
