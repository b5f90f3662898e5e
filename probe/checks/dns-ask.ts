import type { DnsQuestion } from '../../shared/dns-question.ts';
import type { DnsRequest } from '../../shared/endpoint-dns.ts';
import { type Failure, failure } from '../../shared/failure.ts';
import type { TlsFacts } from '../../shared/result.ts';
import { type Attempt, addPhase } from './attempt.ts';
import { type DialDeps, dial } from './dial.ts';
import { askByDatagram, type DatagramDeps, type DnsAnswer, type DnsPlace } from './dns-datagram.ts';
import type { DnsQuery } from './dns-message.ts';
import type { DnsPlan } from './dns-plan.ts';
import { askByStream } from './dns-stream.ts';
import { handshake } from './handshake.ts';

export interface AskDeps extends DialDeps, DatagramDeps {}

/** How a question is put. */
export interface Manner {
  readonly transport: DnsRequest['transport'];
  readonly recursion: boolean;
  readonly dnssec: boolean;
  readonly tls: DnsPlan['tls'];
  readonly verify: boolean;
}

/** An answer, and the way it took in the end. */
export interface Asked {
  readonly answer: DnsAnswer | Failure;
  readonly transport: DnsRequest['transport'];
  /** Over UDP it was cut off. */
  readonly truncated: boolean;
  readonly tls: TlsFacts | null;
}

/**
 * Asks the servers, vetted ones, until one answers. A server that does not know EDNS (RFC 6891, section 7) is asked
 * once more without it.
 */
export async function ask(
  question: DnsQuestion,
  servers: readonly DnsPlace[],
  manner: Manner,
  attempt: Attempt,
  deps: AskDeps,
): Promise<Asked> {
  const { recursion, dnssec } = manner;
  const query = { ...question, recursion, dnssec, edns: true };
  const asked = await askOnce(query, servers, manner, attempt, deps);
  const { answer } = asked;
  if ('code' in answer || dnssec || !knowsNoEdns(answer)) return asked;
  return askOnce({ ...query, edns: false }, [answer.server], manner, attempt, deps);
}

function knowsNoEdns({ message: { edns, rcode } }: DnsAnswer): boolean {
  return !edns && (rcode === 'FORMERR' || rcode === 'NOTIMP');
}

async function askOnce(
  query: DnsQuery,
  servers: readonly DnsPlace[],
  manner: Manner,
  attempt: Attempt,
  deps: AskDeps,
): Promise<Asked> {
  if (manner.transport !== 'udp') return overStream(query, servers, manner, false, attempt, deps);
  const began = performance.now();
  const answer = await askByDatagram(query, servers, attempt, deps);
  addPhase(attempt, 'wait', began);
  if (!('overTcp' in answer)) return { answer, transport: 'udp', truncated: false, tls: null };
  const truncated = answer.overTcp === 'truncated';
  const again = await overStream(
    query,
    [answer.server],
    { ...manner, transport: 'tcp' },
    truncated,
    attempt,
    deps,
  );
  if (!('code' in again.answer)) return again;
  const { code, message } = again.answer;
  const why = truncated ? 'the answer over UDP is cut off' : 'over UDP the case of the name is lost';
  return { ...again, answer: failure(code, `${why}, and over TCP ${message}`) };
}

async function overStream(
  query: DnsQuery,
  servers: readonly DnsPlace[],
  { transport, tls, verify }: Manner,
  truncated: boolean,
  attempt: Attempt,
  deps: AskDeps,
): Promise<Asked> {
  const asked = { transport, truncated, tls: null };
  let failed: Failure = failure('policy.blocked', 'no server to ask');
  for (const server of servers) {
    const socket = await dial([server.address], server.port, attempt, deps);
    if (!('code' in socket)) {
      const secured =
        tls === null
          ? { socket, facts: null }
          : await handshake(socket, { ...tls, verify, alpn: ['dot'] }, attempt);
      if ('failure' in secured) return { ...asked, tls: secured.facts, answer: secured.failure };
      const began = performance.now();
      const answer = await askByStream(query, secured.socket, server, attempt);
      addPhase(attempt, 'wait', began);
      if (!('code' in answer)) return { ...asked, tls: secured.facts, answer: { ...answer, tries: 1 } };
      failed = answer;
      asked.tls = null;
    } else failed = socket;
    if (attempt.ended) break;
  }
  return { ...asked, answer: failed };
}
