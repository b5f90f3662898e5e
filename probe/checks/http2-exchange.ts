import { type ClientHttp2Stream, constants, type IncomingHttpHeaders } from 'node:http2';
import type { Socket } from 'node:net';
import { type Failure, failure } from '../../shared/failure.ts';
import { type Attempt, addPhase, interrupted, type Phase } from './attempt.ts';
import { gatherBody } from './body-room.ts';
import {
  type ExchangeFailure,
  type ExchangeOptions,
  type HttpAnswer,
  maxInformational,
  wireBytesFor,
} from './http-exchange.ts';
import type { Hop } from './http-plan.ts';
import { http2Failure, maxHeaderListBytes, openHttp2, serverEnded } from './http2-session.ts';
import { noteBody, noteErrno } from './trace.ts';

/** `exchange` over HTTP/2: one connection, one stream, the same clocks and caps. */
export function exchangeHttp2(
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
    let headers: readonly Buffer[] = [];
    const body = gatherBody();
    let bytes = 0;
    let informational = 0;
    let keep = false;

    const settle = () => {
      settled = true;
      attempt.interrupt = null;
      addPhase(attempt, phase, began);
      session.destroy();
      socket.destroy();
    };
    const finish = (truncated: boolean) => {
      if (settled || status === null) return;
      settle();
      resolve({ status, httpVersion, headers, body: body.whole(), bytes, truncated });
    };
    const fail = (why: Failure) => {
      if (settled) return;
      settle();
      resolve({ failure: why, status, httpVersion: status === null ? null : httpVersion, bytes });
    };
    const broke = (error: Error) => {
      if (settled) return;
      noteErrno(attempt.trace, error);
      fail(http2Failure(error, status !== null, bytes));
    };
    const session = openHttp2(socket, hop.url.origin, wireBytesFor(options.maxBodyBytes), broke);
    attempt.interrupt = (why) => fail(interrupted(why, phase, attempt));
    let stream: ClientHttp2Stream;
    try {
      stream = session.request(fieldsOf(hop), { endStream: hop.body === null });
    } catch (error) {
      return broke(error as Error);
    }
    stream.on('headers', () => {
      informational += 1;
      if (informational > maxInformational)
        fail(failure('http.protocol', `more than ${maxInformational} informational answers`));
    });
    stream.once('response', (fields: IncomingHttpHeaders, _flags: number, raw: readonly string[]) => {
      if (settled) return;
      addPhase(attempt, 'wait', began);
      began = performance.now();
      phase = 'transfer';
      status = Number(fields[':status' as 'status']);
      headers = rawFields(raw);
      // Node's own cap holds only from when the server has acknowledged it.
      if (headers.reduce((all, { length }) => all + length, 0) > maxHeaderListBytes)
        return fail(failure('http.protocol', `more than ${maxHeaderListBytes / 1024} KiB of headers`));
      const want = options.body(status, headers);
      keep = want === 'keep';
      if (want === 'leave') finish(false);
    });
    stream.on('data', (chunk: Buffer) => {
      if (settled) return;
      const room = options.maxBodyBytes - bytes;
      bytes += chunk.length;
      noteBody(attempt.trace, chunk);
      const fitting = chunk.length > room ? chunk.subarray(0, room) : chunk;
      if (keep && !options.share.take(fitting.length))
        return fail(failure('probe.saturated', 'the bodies of other checks leave no room for one more'));
      if (keep) body.add(fitting);
      if (chunk.length > room) finish(true);
    });
    const whole = watchEnd(stream);
    // With NO_ERROR a reset is good while the request is still on its way: a server that has answered may spare itself
    // the rest of it (RFC 9113, section 8.1).
    stream.once('end', () => {
      if (whole() || (hop.body !== null && stream.rstCode === constants.NGHTTP2_NO_ERROR)) finish(false);
    });
    stream.on('error', (error) => {
      // Where the whole connection failed the error says so; a stream's own has its code in words alone.
      const own = (error as NodeJS.ErrnoException).code === 'ERR_HTTP2_STREAM_ERROR';
      broke(own ? serverEnded('RST_STREAM', stream.rstCode ?? 0) : error);
    });
    stream.once('close', () => {
      const { rstCode = 0 } = stream;
      const gone = Object.assign(new Error('the stream ended'), { code: 'ECONNRESET' });
      broke(rstCode === constants.NGHTTP2_NO_ERROR ? gone : serverEnded('RST_STREAM', rstCode));
    });
    if (hop.body !== null) stream.end(hop.body);
  });
}

/**
 * Whether the other side ended the stream (END_STREAM). One that was reset "ends" for Node, too: but only after it is
 * closed.
 */
function watchEnd(stream: ClientHttp2Stream): () => boolean {
  const push = stream.push;
  let whole = false;
  stream.push = (chunk: Buffer | null, encoding?: BufferEncoding) => {
    if (chunk === null && !stream.closed) whole = true;
    return push.call(stream, chunk, encoding);
  };
  return () => whole;
}

const httpVersion = '2';

/** RFC 9113, section 8.3.1: what was the Host field is `:authority`, and names are in lower case. */
function fieldsOf({ url, method, path, headers }: Hop): Record<string, string> {
  const fields: Record<string, string> = {
    ':method': method,
    ':scheme': url.protocol.slice(0, -1),
    ':authority': url.host,
    ':path': path,
  };
  for (let at = 0; at + 1 < headers.length; at += 2) {
    const name = headers[at]?.toLowerCase() ?? '';
    fields[name === 'host' ? ':authority' : name] = headers[at + 1] ?? '';
  }
  return fields;
}

/** Names and values in turn, as HTTP/1.1's parser gives them; pseudo-headers are no fields. */
function rawFields(raw: readonly string[]): readonly Buffer[] {
  const fields: Buffer[] = [];
  for (let at = 0; at + 1 < raw.length; at += 2) {
    const name = raw[at] ?? '';
    if (!name.startsWith(':'))
      fields.push(Buffer.from(name, 'latin1'), Buffer.from(raw[at + 1] ?? '', 'latin1'));
  }
  return fields;
}
