import { type ClientHttp2Session, connect, constants } from 'node:http2';
import type { Socket } from 'node:net';
import { type Failure, failure } from '../../shared/failure.ts';
import { handshakeFailure } from './handshake.ts';
import { lostFailure } from './http-exchange.ts';

/** A block of headers beyond this is a bomb: as much as HTTP/1.1 gets here. HPACK makes a byte of 4 KiB: it counts unpacked. */
export const maxHeaderListBytes = 65_536;
const maxHeaderFields = 1000;
/** SETTINGS, PING, GOAWAY, ALTSVC and ORIGIN together; an honest server sends three or four. */
const maxControlFrames = 100;
/** A window of the usual 64 KiB makes 1 MiB take sixteen round trips: the transfer would measure the window. */
const windowBytes = 1_048_576;
/** nghttp2 takes WINDOW_UPDATE, PRIORITY and unknown frames without a word: their bytes are looked at this often. */
const wireLookMs = 50;

const tooMuch = 'PARALLAX_HTTP2_FLOOD';

/**
 * An HTTP/2 connection over a socket that stands, plain or TLS, which is its own from then on. `trouble` is called at
 * most once: for an error, for more than the caps allow, and when the connection ends; `http2Failure` says what it
 * means. Whoever opened it ends it with `session.destroy()`.
 */
export function openHttp2(
  socket: Socket,
  origin: string,
  maxWireBytes: number,
  trouble: (error: Error) => void,
): ClientHttp2Session {
  const session = connect(origin, {
    createConnection: () => socket,
    settings: { enablePush: false, initialWindowSize: windowBytes, maxHeaderListSize: maxHeaderListBytes },
    maxHeaderListPairs: maxHeaderFields,
    maxReservedRemoteStreams: 0,
  });
  let told = false;
  const tell = (error: Error) => {
    clearInterval(timer);
    if (told) return;
    told = true;
    trouble(error);
  };
  const flooded = (what: string) => {
    tell(Object.assign(new Error(what), { code: tooMuch }));
    session.destroy();
  };
  let controls = 0;
  const control = () => {
    controls += 1;
    if (controls > maxControlFrames) flooded(`more than ${maxControlFrames} control frames`);
  };
  const before = socket.bytesRead;
  const timer = setInterval(() => {
    if (socket.bytesRead - before > maxWireBytes) flooded('far more bytes than the body has: giving up');
  }, wireLookMs);
  session.on('ping', control);
  session.on('remoteSettings', control);
  session.on('altsvc', control);
  session.on('origin', control);
  session.on('goaway', (code) => {
    control();
    if (code !== constants.NGHTTP2_NO_ERROR) tell(serverEnded('GOAWAY', code));
  });
  session.on('error', tell);
  // An answer may be whole and its end still to be told of: servers that refuse a client close right behind it.
  session.on('close', () =>
    setImmediate(tell, Object.assign(new Error('the connection ended'), { code: 'ECONNRESET' })),
  );
  session.once('connect', () => session.setLocalWindowSize(windowBytes));
  return session;
}

/** RFC 9113, section 7: by their numbers. */
const codeNames = [
  'NO_ERROR',
  'PROTOCOL_ERROR',
  'INTERNAL_ERROR',
  'FLOW_CONTROL_ERROR',
  'SETTINGS_TIMEOUT',
  'STREAM_CLOSED',
  'FRAME_SIZE_ERROR',
  'REFUSED_STREAM',
  'CANCEL',
  'COMPRESSION_ERROR',
  'CONNECT_ERROR',
  'ENHANCE_YOUR_CALM',
  'INADEQUATE_SECURITY',
  'HTTP_1_1_REQUIRED',
] as const;

export function http2CodeName(code: number): string {
  return codeNames[code] ?? `0x${code.toString(16)}`;
}

/** Codes that are about HTTP/2 itself; the others say that something broke over there. Node sends the first two of its own. */
const meanings: Readonly<Record<string, string>> = {
  PROTOCOL_ERROR: 'not HTTP/2, to one side or the other',
  ENHANCE_YOUR_CALM: `more than ${maxHeaderListBytes / 1024} KiB of headers, or a server that wants fewer requests`,
  FRAME_SIZE_ERROR: 'a frame of a size that it cannot have',
  FLOW_CONTROL_ERROR: 'more than the window allows',
  COMPRESSION_ERROR: 'headers that cannot be unpacked',
  INADEQUATE_SECURITY: 'the server wants better TLS for HTTP/2',
  HTTP_1_1_REQUIRED: 'the server wants HTTP/1.1 for this',
};

const ended = 'PARALLAX_HTTP2_ENDED';

/** How the other side gave up, or this one had to: a frame's name and its error code. */
export function serverEnded(frame: 'GOAWAY' | 'RST_STREAM', code: number): Error {
  return Object.assign(new Error(`${frame} ${http2CodeName(code)}`), { code: ended, http2Code: code });
}

/** What an error of a connection or its stream is to a check that had an answer's head, or not, and `bytes` of its body. */
export function http2Failure(error: Error, answered: boolean, bytes: number): Failure {
  const { code = '' } = error as NodeJS.ErrnoException;
  const lost = (how: string) => lostFailure(how, answered, bytes);
  switch (code) {
    case tooMuch:
      return failure('http.protocol', error.message);
    case ended:
      return endedFailure(error as Error & { http2Code?: number }, lost);
    case 'ECONNRESET':
    case 'EPIPE':
    case 'ECONNABORTED':
    case 'ERR_STREAM_PREMATURE_CLOSE':
      return lost('ended');
    case 'ETIMEDOUT':
      return lost('broke');
    case 'ERR_HTTP2_TOO_MANY_INVALID_FRAMES':
      return failure('http.protocol', 'not HTTP/2: too many frames that say nothing');
    case 'ERR_HTTP2_ERROR':
    case 'ERR_HTTP2_SESSION_ERROR':
    case 'ERR_HTTP2_STREAM_ERROR':
      // nghttp2's words, never the server's.
      return failure('http.protocol', `not HTTP/2: ${error.message}`);
  }
  if (code.startsWith('ERR_SSL_')) return handshakeFailure(error);
  return failure('probe.internal', `${error.name}: ${code || error.message}`);
}

function endedFailure(
  { message, http2Code }: Error & { http2Code?: number },
  lost: (how: string) => Failure,
) {
  const named = http2CodeName(http2Code ?? 0);
  const why = meanings[named];
  return why === undefined ? lost(`was ended (${message})`) : failure('http.protocol', `${message}: ${why}`);
}
