import type { Socket } from 'node:net';
import type { Dispatcher } from 'undici';
import { type Failure, failure } from '../../shared/failure.ts';
import { type Attempt, addPhase, type Interruption, interrupted, type Phase } from './attempt.ts';
import { type BodyShare, gatherBody } from './body-room.ts';
import { handshakeFailure } from './handshake.ts';
import type { Hop } from './http-plan.ts';
import { maxHeaderBytes, socketClient } from './socket-client.ts';
import { noteBody, noteErrno } from './trace.ts';

/** What a stranger may send before it is enough. */
export const maxInformational = 16;
/** Chunks of one byte make six on the wire; beyond this it is chunk extensions or worse. */
export const wireBytesFor = (maxBodyBytes: number) => 8 * maxBodyBytes + 1_048_576;

export interface HttpAnswer {
  readonly status: number;
  /** As the status line had it: '1.0' or '1.1'; '2' over HTTP/2. */
  readonly httpVersion: string;
  /** Names and values in turn. */
  readonly headers: readonly Buffer[];
  /** Empty where the body was not wanted. */
  readonly body: Buffer;
  /** Body bytes received, chunked coding taken off. */
  readonly bytes: number;
  /** The body was longer than the endpoint's cap and was left there. */
  readonly truncated: boolean;
}

export interface ExchangeOptions {
  readonly maxBodyBytes: number;
  /** Where a body that is kept finds room. */
  readonly share: BodyShare;
  /** Asked at the head of the answer: keep the body's bytes, only count them, or end the exchange here. */
  readonly body: (status: number, headers: readonly Buffer[]) => 'keep' | 'count' | 'leave';
}

/** How far an exchange came that then failed. */
export interface ExchangeFailure {
  readonly failure: Failure;
  readonly status: number | null;
  readonly httpVersion: string | null;
  readonly bytes: number;
}

/**
 * One request and its answer over a connection that stands, by undici's parser. The socket is used up. The clock of
 * `wait` runs from the request to the end of the answer's head, that of `transfer` to the body's last byte.
 */
export function exchange(
  socket: Socket,
  hop: Hop,
  options: ExchangeOptions,
  attempt: Attempt,
): Promise<HttpAnswer | ExchangeFailure> {
  return new Promise((resolve) => {
    let phase: Phase = 'wait';
    let began = performance.now();
    let settled = false;
    let status: number | null = null;
    let httpVersion: string | null = null;
    let headers: readonly Buffer[] = [];
    const body = gatherBody();
    let bytes = 0;
    let informational = 0;
    let keep = false;

    const settle = () => {
      settled = true;
      attempt.interrupt = null;
      addPhase(attempt, phase, began);
    };
    const finish = (truncated: boolean) => {
      if (settled || status === null) return;
      settle();
      resolve({ status, httpVersion: httpVersion ?? '', headers, body: body.whole(), bytes, truncated });
      socket.destroy();
    };
    const fail = (why: Failure) => {
      if (settled) return;
      settle();
      resolve({ failure: why, status, httpVersion, bytes });
      socket.destroy();
    };
    attempt.interrupt = (why: Interruption) => fail(interrupted(why, phase, attempt));
    watchWire(socket, wireBytesFor(options.maxBodyBytes), (version) => {
      if (version === null)
        return fail(failure('http.protocol', 'far more bytes than the body has: giving up'));
      httpVersion = version;
    });

    // Undici tells the last error of a connection: a late alert of TLS is followed by one that says less.
    socket.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code?.startsWith('ERR_SSL_')) fail(handshakeFailure(error));
    });

    const handler: Dispatcher.DispatchHandler = {
      onConnect() {},
      onHeaders(code, fields) {
        if (settled) return false;
        if (code < 200) {
          informational += 1;
          if (informational > maxInformational)
            fail(failure('http.protocol', `more than ${maxInformational} informational answers`));
          return true;
        }
        addPhase(attempt, 'wait', began);
        began = performance.now();
        phase = 'transfer';
        status = code;
        headers = fields;
        const want = options.body(code, fields);
        keep = want === 'keep';
        if (want === 'leave') finish(false);
        return true;
      },
      onData(chunk) {
        if (settled) return false;
        const room = options.maxBodyBytes - bytes;
        bytes += chunk.length;
        noteBody(attempt.trace, chunk);
        const fitting = chunk.length > room ? chunk.subarray(0, room) : chunk;
        if (keep && !options.share.take(fitting.length)) {
          fail(failure('probe.saturated', 'the bodies of other checks leave no room for one more'));
          return false;
        }
        if (keep) body.add(fitting);
        if (chunk.length > room) finish(true);
        return true;
      },
      onComplete() {
        finish(false);
      },
      onError(error) {
        // RFC 9110, section 8.6: a 304 may say the length of what it does not send; undici counts it as missing.
        if (status === 304 && bytes === 0 && isLengthMismatch(error)) return finish(false);
        if (settled) return;
        noteErrno(attempt.trace, error);
        fail(exchangeFailure(error, status !== null, bytes));
      },
    };
    const client = socketClient(hop.url.origin, socket);
    client.dispatch(
      {
        path: hop.path,
        method: hop.method as Dispatcher.HttpMethod,
        headers: hop.headers as string[],
        body: hop.body,
        reset: true,
      },
      handler,
    );
  });
}

/**
 * Sees the bytes on their way to the parser: undici keeps the version of the status line to itself, and counts
 * neither chunk extensions nor reason phrases. Reports the version once; null when more than `most` bytes came. Returns
 * what ends it.
 */
export function watchWire(
  socket: Socket,
  most: number,
  report: (version: string | null) => void,
): () => void {
  const read = socket.read;
  let start = '';
  let seen = 0;
  socket.read = (size) => {
    const chunk: Buffer | null = read.call(socket, size);
    if (chunk === null) return null;
    seen += chunk.length;
    if (start.length < 8) {
      start += chunk.toString('latin1', 0, 8 - start.length);
      if (start.length === 8) report(/^HTTP\/(\d\.\d)$/.exec(start)?.[1] ?? '');
    }
    if (seen > most) report(null);
    return chunk;
  };
  return () => {
    socket.read = read;
  };
}

const isLengthMismatch = (error: Error) =>
  (error as NodeJS.ErrnoException).code === 'UND_ERR_RES_CONTENT_LENGTH_MISMATCH';

/** A connection that went away before an answer's head (`request.reset`), or `bytes` into its body (`body.reset`). */
export function lostFailure(how: string, answered: boolean, bytes: number): Failure {
  return answered
    ? failure('body.reset', `the connection ${how} in the body, after ${bytes} bytes`)
    : failure('request.reset', `the connection ${how} before an answer came`);
}

export function exchangeFailure(error: Error, answered: boolean, bytes: number): Failure {
  const { code = '' } = error as NodeJS.ErrnoException;
  const lost = (how: string) => lostFailure(how, answered, bytes);
  switch (code) {
    case 'ECONNRESET':
    case 'EPIPE':
    case 'ECONNABORTED':
      return lost('was reset');
    case 'ETIMEDOUT':
      return lost('broke');
    case 'UND_ERR_SOCKET':
      if (error.message === 'bad response' || error.message === 'bad upgrade')
        return failure('http.protocol', 'an informational answer that was not asked for (100 or 101)');
      return lost('was closed');
    case 'UND_ERR_RES_CONTENT_LENGTH_MISMATCH':
      // Before the head has ended this is undici's word for whatever else was wrong with it.
      return answered
        ? lost('was closed')
        : failure('http.protocol', 'not HTTP/1.1: lengths that contradict');
    // Undici asserts that a status has three digits, the first of them no 0: the server's fault, found out in that way.
    case 'ERR_ASSERTION':
      return failure('http.protocol', 'not HTTP/1.1: an answer that cannot be');
    case 'UND_ERR_HEADERS_OVERFLOW':
      return failure('http.protocol', `more than ${maxHeaderBytes / 1024} KiB of headers`);
  }
  if (code.startsWith('ERR_SSL_')) return handshakeFailure(error);
  if (error.name === 'HTTPParserError') {
    // llhttp's reasons are its own words, never the server's.
    const reason = /\(([^()]*)\)$/.exec(error.message)?.[1] ?? '';
    if (reason.startsWith('Invalid EOF state')) return lost('was closed');
    return failure('http.protocol', `not HTTP/1.1: ${reason}`);
  }
  return failure('probe.internal', `${error.name}: ${code || error.message}`);
}
