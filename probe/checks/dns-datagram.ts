import { randomBytes, randomInt } from 'node:crypto';
import { createSocket, type Socket } from 'node:dgram';
import { isIP } from 'node:net';
import { type Failure, failure } from '../../shared/failure.ts';
import { type Attempt, interrupted } from './attempt.ts';
import type { DestinationGate } from './destination-gate.ts';
import { connectFailure, destinationOf, isLoopback } from './dial.ts';
import {
  type DnsMessage,
  type DnsQuery,
  questionBytes,
  readHead,
  readMessage,
  sameQuestion,
  writeQuery,
} from './dns-message.ts';
import { noteErrno } from './trace.ts';

/** The one call that makes a datagram socket to a target; a seam, as `OpenSocket` is. */
export type OpenDatagram = (address: string, port: number) => Socket;

/** On a random port of the kernel's. Connected: it takes datagrams of this peer alone, and hears its ICMP errors. */
export const openDatagram: OpenDatagram = (address, port) => {
  const socket = createSocket({
    type: isIP(address) === 6 ? 'udp6' : 'udp4',
    // The address is a literal: nothing is looked up.
    lookup: (host, _, done) => done(null, host, isIP(host)),
  });
  socket.connect(port, address);
  return socket;
};

export interface DatagramDeps {
  readonly openDatagram: OpenDatagram;
  readonly gate: DestinationGate;
}

/** A server by its vetted address. */
export interface DnsPlace {
  readonly address: string;
  readonly port: number;
}

/** A message with what is worth telling of how it came. */
export interface DnsAnswer {
  readonly message: DnsMessage;
  readonly bytes: number;
  readonly server: DnsPlace;
  /** Questions sent until it came. */
  readonly tries: number;
}

/** Ask the same over TCP: what came is cut off, or does not show that its sender has seen the question. */
export interface AskAgain {
  readonly overTcp: 'truncated' | 'case';
  readonly server: DnsPlace;
  readonly tries: number;
}

const mostTries = 4;
const firstRetryMs = 1000;
/** Datagrams that are no answer to the question; who sends more than this is not listened to any longer. */
const mostStrange = 50;

/**
 * Asks over UDP until an answer comes: each try from a socket, a port and an id of its own, at the next server in
 * turn; answers to earlier tries are as good. What does not answer the question is passed over.
 */
export function askByDatagram(
  query: DnsQuery,
  servers: readonly DnsPlace[],
  attempt: Attempt,
  deps: DatagramDeps,
): Promise<DnsAnswer | AskAgain | Failure> {
  return new Promise((resolve) => {
    if (attempt.ended) return resolve(interrupted(attempt.ended, 'wait', attempt));
    const leave: (() => void)[] = [];
    const refusals = new Map<DnsPlace, Failure>();
    let timer: NodeJS.Timeout | undefined;
    let settled = false;
    let tries = 0;
    let turn = 0;
    let strange = 0;
    let lastStrange = '';
    let retryMs = Math.min(firstRetryMs, attempt.timeoutMs / 3);
    const done = (outcome: DnsAnswer | AskAgain | Failure) => {
      if (settled) return;
      settled = true;
      clearTimeout(timer);
      attempt.interrupt = null;
      for (const each of leave) each();
      resolve(outcome);
    };
    const passOver = (why: string) => {
      strange += 1;
      lastStrange = why;
      if (strange > mostStrange) done(notAnswered());
    };
    const notAnswered = () =>
      failure(
        'protocol.invalid',
        `${strange} datagrams came, none an answer to the question: ${lastStrange}`,
      );
    attempt.interrupt = (why) =>
      done(why === 'deadline' && strange > 0 ? notAnswered() : interrupted(why, 'wait', attempt));

    const refusedBy = (server: DnsPlace, why: Failure) => {
      refusals.set(server, why);
      if (refusals.size === servers.length) done(why);
      else send();
    };
    const next = (): DnsPlace | undefined => {
      for (let step = 0; step < servers.length; step += 1) {
        const server = servers[turn++ % servers.length];
        if (server && !refusals.has(server)) return server;
      }
      return undefined;
    };
    const send = () => {
      clearTimeout(timer);
      const server = next();
      if (settled || !server || tries === Math.max(mostTries, servers.length)) return;
      const destination = destinationOf(server.address, server.port);
      const full = isLoopback(server.address) ? null : deps.gate.enter(destination, performance.now());
      if (full !== null) return done(failure('probe.saturated', full));
      tries += 1;
      attempt.trace.address = destination;
      const socket = deps.openDatagram(server.address, server.port);
      leave.push(() => {
        deps.gate.leave(destination);
        socket.close();
      });
      const id = randomInt(65_536);
      const question = questionBytes(query, randomBytes(32));
      socket.on('error', (error: NodeJS.ErrnoException) => {
        if (settled || refusals.has(server)) return;
        noteErrno(attempt.trace, error);
        refusedBy(server, connectFailure(error, server.address, server.port));
      });
      socket.on('message', (bytes, from) => {
        if (settled) return;
        // The kernel sees to it already, where it can connect a datagram socket.
        if (from.port !== server.port) return passOver('it comes from another port');
        const head = readHead(bytes);
        if (!head) return passOver('it is too short');
        if (!head.isResponse) return passOver('it is no response');
        if (head.id !== id) return passOver('it has another id');
        const same = sameQuestion(bytes, head, question);
        const asksAgain = (overTcp: 'truncated' | 'case') => done({ overTcp, server, tries });
        // A server that cannot read a query may leave the question out.
        const bare = head.questions === 0 && head.rcode !== 0 && head.rcode !== 3;
        if (same === null && !bare) return passOver('it has another question');
        if (same === 'case') return asksAgain('case');
        if (head.flags.tc) return asksAgain('truncated');
        const message = readMessage(bytes, bare ? 0 : question.length);
        if ('problem' in message)
          return done(failure('protocol.invalid', `the answer cannot be read: ${message.problem}`));
        done({ message, bytes: bytes.length, server, tries });
      });
      socket.once('connect', () => {
        if (!settled) socket.send(writeQuery(id, query, question));
      });
      timer = setTimeout(send, retryMs);
      retryMs *= 2;
    };
    send();
  });
}
