import { randomInt } from 'node:crypto';
import type { Socket } from 'node:net';
import { type Failure, failure } from '../../shared/failure.ts';
import { type Attempt, interrupted } from './attempt.ts';
import type { DnsAnswer, DnsPlace } from './dns-datagram.ts';
import {
  type DnsQuery,
  questionBytes,
  readHead,
  readMessage,
  sameQuestion,
  writeQuery,
} from './dns-message.ts';
import { handshakeFailure } from './handshake.ts';

/**
 * Asks over a connection that stands, TCP or TLS (RFC 7766): two bytes of length, then a message. The socket is
 * closed in any case. Nothing after the first message is read.
 */
export function askByStream(
  query: DnsQuery,
  socket: Socket,
  server: DnsPlace,
  attempt: Attempt,
): Promise<Omit<DnsAnswer, 'tries'> | Failure> {
  return new Promise((resolve) => {
    const id = randomInt(65_536);
    // Whoever could guess an id would have to be in the connection: letters keep their case.
    const question = questionBytes(query, null);
    const parts: Buffer[] = [];
    let held = 0;
    let size: number | null = null;
    let settled = false;
    const done = (outcome: Omit<DnsAnswer, 'tries'> | Failure) => {
      if (settled) return;
      settled = true;
      attempt.interrupt = null;
      socket.destroy();
      resolve(outcome);
    };
    if (attempt.ended) return done(interrupted(attempt.ended, 'wait', attempt));
    attempt.interrupt = (why) => done(interrupted(why, 'wait', attempt));
    socket.on('error', (error: NodeJS.ErrnoException) =>
      done(
        error.code?.startsWith('ERR_SSL')
          ? handshakeFailure(error)
          : failure('request.reset', `the connection was reset before the answer was whole (${error.code})`),
      ),
    );
    socket.once('close', () =>
      done(failure('request.reset', 'the connection was closed before the answer was whole')),
    );
    socket.once('end', () =>
      done(failure('request.reset', 'the connection was closed before the answer was whole')),
    );
    socket.on('data', (chunk) => {
      parts.push(chunk);
      held += chunk.length;
      if (size === null && held >= 2) size = Buffer.concat(parts).readUInt16BE(0);
      if (size !== null && held >= 2 + size) done(judge(Buffer.concat(parts).subarray(2, 2 + size)));
    });
    const judge = (bytes: Buffer): Omit<DnsAnswer, 'tries'> | Failure => {
      const invalid = (why: string) =>
        failure('protocol.invalid', `what came is no answer to the question: ${why}`);
      const head = readHead(bytes);
      if (!head) return invalid('it is too short');
      if (!head.isResponse) return invalid('it is no response');
      if (head.id !== id) return invalid('it has another id');
      const bare = head.questions === 0 && head.rcode !== 0 && head.rcode !== 3;
      if (!bare && sameQuestion(bytes, head, question) === null) return invalid('it has another question');
      const message = readMessage(bytes, bare ? 0 : question.length);
      if ('problem' in message)
        return failure('protocol.invalid', `the answer cannot be read: ${message.problem}`);
      return { message, bytes: bytes.length, server };
    };
    const text = writeQuery(id, query, question);
    const length = Buffer.alloc(2);
    length.writeUInt16BE(text.length, 0);
    // In one piece: some servers read the length and nothing else from the first segment (RFC 7766, section 8).
    socket.write(Buffer.concat([length, text]));
  });
}
