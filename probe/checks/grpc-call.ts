import { type ClientHttp2Stream, constants, type IncomingHttpHeaders } from 'node:http2';
import type { Socket } from 'node:net';
import { type Failure, failure } from '../../shared/failure.ts';
import { type Attempt, addPhase, interrupted, type Phase } from './attempt.ts';
import { http2Failure, openHttp2, serverEnded } from './http2-session.ts';
import { maxHeaderBytes } from './socket-client.ts';
import { noteHead } from './trace.ts';

/** One unary call. */
export interface GrpcCall {
  /** As http(s). */
  readonly url: URL;
  /** `:path` among them. */
  readonly fields: Readonly<Record<string, string>>;
  /** The message with its prefix. */
  readonly body: Buffer;
}

/** How a call ended that came to its end. */
export interface GrpcAnswer {
  /** `grpc-status`. */
  readonly code: number;
  /** `grpc-message`, decoded. */
  readonly message: string;
  /** The one message of the answer; null where there was none. */
  readonly body: Buffer | null;
}

export interface GrpcSeen {
  readonly outcome: GrpcAnswer | Failure;
  /** Of HTTP; null where no head came. */
  readonly httpStatus: number | null;
  readonly bytes: number;
}

/** What is asked for is a byte or two; others may stand beside it. */
const maxMessageBytes = 4096;
const prefixBytes = 5;
/** With headers, trailers and frames that say nothing. */
const maxWireBytes = 262_144;
const maxInformational = 16;

/**
 * A unary call over a connection that stands, as gRPC over HTTP/2 has it (PROTOCOL-HTTP2.md). The clock of `wait` runs
 * to the head of the answer, that of `transfer` to its trailers.
 */
export function callGrpc(socket: Socket, call: GrpcCall, attempt: Attempt): Promise<GrpcSeen> {
  return new Promise((resolve) => {
    let phase: Phase = 'wait';
    let began = performance.now();
    let settled = false;
    let httpStatus: number | null = null;
    let ending: IncomingHttpHeaders | null = null;
    let informational = 0;
    let bytes = 0;
    const chunks: Buffer[] = [];

    const settle = (outcome: GrpcAnswer | Failure) => {
      if (settled) return;
      settled = true;
      attempt.interrupt = null;
      addPhase(attempt, phase, began);
      resolve({ outcome, httpStatus, bytes });
      session.destroy();
      socket.destroy();
    };
    const invalid = (how: string) => settle(failure('protocol.invalid', how));
    const broke = (error: Error) => settle(http2Failure(error, httpStatus !== null, bytes));
    const session = openHttp2(socket, call.url.origin, maxWireBytes, broke);
    attempt.interrupt = (why) => settle(interrupted(why, phase, attempt));
    if (attempt.ended) return settle(interrupted(attempt.ended, phase, attempt));
    let stream: ClientHttp2Stream;
    try {
      stream = session.request(call.fields, { endStream: false });
    } catch (error) {
      return broke(error as Error);
    }
    stream.on('headers', () => {
      informational += 1;
      if (informational > maxInformational)
        settle(failure('http.protocol', `more than ${maxInformational} informational answers`));
    });
    stream.once('response', (fields, flags, raw: readonly string[]) => {
      if (settled) return;
      addPhase(attempt, 'wait', began);
      began = performance.now();
      phase = 'transfer';
      // The setting of the same meaning binds a server once it has acknowledged it: after its first answer.
      if (raw.reduce((sum, text) => sum + text.length, 0) > maxHeaderBytes)
        return settle(failure('http.protocol', `more than ${maxHeaderBytes / 1024} KiB of headers`));
      httpStatus = Number(fields[':status']);
      noteHead(attempt.trace, { status: httpStatus, headers: raw.slice(2) });
      const type = fields['content-type'] ?? '';
      if (httpStatus !== 200 || !/^application\/grpc([+;]|$)/i.test(type))
        return invalid(`HTTP status ${httpStatus} and no gRPC answer`);
      // Trailers alone: the answer has no message, and its only block of headers is its last.
      if ((flags & constants.NGHTTP2_FLAG_END_STREAM) !== 0) ending = fields;
    });
    stream.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      if (settled) return;
      if (bytes > prefixBytes + maxMessageBytes)
        return settle(failure('body.too_large', `an answer of more than ${maxMessageBytes} bytes`));
      chunks.push(chunk);
    });
    stream.once('trailers', (fields) => {
      ending ??= fields;
    });
    stream.once('end', () => {
      // A stream that the server reset "ends" too, with a code.
      if (settled || httpStatus === null || stream.rstCode !== constants.NGHTTP2_NO_ERROR) return;
      settle(readAnswer(ending ?? {}, Buffer.concat(chunks)));
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
    stream.end(call.body);
  });
}

function readAnswer(trailers: IncomingHttpHeaders, body: Buffer): GrpcAnswer | Failure {
  const invalid = (how: string) => failure('protocol.invalid', how);
  const said = trailers['grpc-status'];
  if (said === undefined) return invalid('the answer ended without grpc-status');
  if (typeof said !== 'string' || !/^\d{1,9}$/.test(said)) return invalid('a grpc-status that is no number');
  const code = Number(said);
  const message = messageOf(trailers['grpc-message']);
  if (body.length === 0) return { code, message, body: null };
  if (body[0] !== 0) return invalid('a compressed message, which was not asked for');
  if (body.length < prefixBytes) return invalid('a message cut off in its prefix');
  const length = body.readUInt32BE(1);
  if (length > body.length - prefixBytes) return invalid('a message shorter than its prefix says');
  if (length < body.length - prefixBytes) return invalid('more than one message');
  return { code, message, body: body.subarray(prefixBytes) };
}

/** Percent-encoded UTF-8; what is not stays as it came. */
function messageOf(field: string | string[] | undefined): string {
  const text = (typeof field === 'string' ? field : '').slice(0, 1024);
  const bytes = text.replace(/%([0-9A-Fa-f]{2})/g, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  );
  return Buffer.from(bytes, 'latin1').toString('utf8');
}
