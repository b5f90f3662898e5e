import { createHash, randomBytes } from 'node:crypto';
import type { Socket } from 'node:net';
import type { Dispatcher } from 'undici';
import { type Failure, failure } from '../../shared/failure.ts';
import { type Attempt, addPhase, interrupted } from './attempt.ts';
import { exchangeFailure, watchWire } from './http-exchange.ts';
import { headerValues } from './http-expect.ts';
import type { Hop } from './http-plan.ts';
import { maxHeaderBytes, socketClient } from './socket-client.ts';

/** What the handshake asks for beside the request's own headers. */
export interface WsOffer {
  readonly subprotocols: readonly string[];
  readonly deflate: boolean;
}

export interface WsAnswer {
  readonly status: number;
  readonly httpVersion: string;
  /** Names and values in turn. */
  readonly headers: readonly Buffer[];
  /** Null where the status is another than 101: the connection is closed then. */
  readonly socket: Socket | null;
  /** What the server's Sec-WebSocket-Accept has to be. */
  readonly accept: string;
}

const mostBytes = 2 * maxHeaderBytes;
const mostInformational = 16;

/**
 * Asks for the change to WebSocket (RFC 6455, section 4.1) over a connection that stands, by undici's parser. Undici's
 * own WebSocket dials by itself and has no bound on what comes; `ws` goes by node:http, which has none on the answers
 * before the last one.
 */
export function askUpgrade(
  socket: Socket,
  hop: Hop,
  offer: WsOffer,
  attempt: Attempt,
): Promise<WsAnswer | Failure> {
  return new Promise((resolve) => {
    const key = randomBytes(16).toString('base64');
    const accept = createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
    const began = performance.now();
    let httpVersion = '';
    let informational = 0;
    let settled = false;
    const settle = (outcome: WsAnswer | Failure) => {
      if (settled) return;
      settled = true;
      attempt.interrupt = null;
      addPhase(attempt, 'wait', began);
      resolve(outcome);
      if ('code' in outcome || outcome.socket === null) socket.destroy();
    };
    const answered = (status: number, headers: readonly Buffer[], opened: Socket | null) =>
      settle({ status, httpVersion, headers, socket: opened, accept });
    attempt.interrupt = (why) => settle(interrupted(why, 'wait', attempt));
    if (attempt.ended) return settle(interrupted(attempt.ended, 'wait', attempt));
    const unwatch = watchWire(socket, mostBytes, (version) => {
      if (version === null)
        settle(failure('http.protocol', 'the head of the answer does not end: giving up'));
      else httpVersion = version;
    });
    const handler: Dispatcher.DispatchHandler = {
      onConnect() {},
      onHeaders(status, headers) {
        if (status === 101) {
          settle(failure('protocol.invalid', 'status 101 without the headers Upgrade and Connection'));
          return false;
        }
        if (status >= 200) {
          answered(status, headers, null);
          return false;
        }
        informational += 1;
        if (informational > mostInformational)
          settle(failure('http.protocol', `more than ${mostInformational} informational answers`));
        return !settled;
      },
      onData: () => false,
      onComplete() {},
      onUpgrade(status, headers) {
        unwatch();
        answered(status, headers as unknown as readonly Buffer[], socket);
      },
      onError(error) {
        settle(exchangeFailure(error, false, 0));
      },
    };
    const client = socketClient(hop.url.origin, socket);
    client.dispatch(
      {
        path: hop.path,
        method: 'GET',
        upgrade: 'websocket',
        headers: [
          ...hop.headers,
          ...['sec-websocket-version', '13', 'sec-websocket-key', key],
          ...(offer.subprotocols.length > 0 ? ['sec-websocket-protocol', offer.subprotocols.join(', ')] : []),
          // Each message stands for itself then, and no window has to be kept between them.
          ...(offer.deflate
            ? [
                'sec-websocket-extensions',
                'permessage-deflate; server_no_context_takeover; client_no_context_takeover',
              ]
            : []),
        ],
      },
      handler,
    );
  });
}

export interface Agreed {
  readonly subprotocol: string | null;
  readonly deflate: boolean;
}

/** What the server's 101 agrees to, or in which way it is no answer to the handshake. */
export function agreed({ headers, accept }: WsAnswer, offer: WsOffer): Agreed | Failure {
  const invalid = (how: string) => failure('protocol.invalid', how);
  const upgrades = headerValues(headers, 'upgrade');
  if (upgrades.join().toLowerCase() !== 'websocket')
    return invalid('status 101 for another protocol than websocket');
  const accepted = headerValues(headers, 'sec-websocket-accept');
  if (accepted.length === 0) return invalid('no Sec-WebSocket-Accept: what answers is no WebSocket server');
  if (accepted.join() !== accept)
    return invalid('Sec-WebSocket-Accept is not the answer to the key that was sent');
  const chosen = headerValues(headers, 'sec-websocket-protocol');
  const [subprotocol = null] = chosen;
  if (chosen.length > 1 || (subprotocol !== null && !offer.subprotocols.includes(subprotocol)))
    return invalid('the server chose a subprotocol that was not offered');
  const extensions = headerValues(headers, 'sec-websocket-extensions').join();
  if (extensions.trim() === '') return { subprotocol, deflate: false };
  if (!offer.deflate || !isOurDeflate(extensions))
    return invalid('the server chose an extension, or a form of it, that was not offered');
  return { subprotocol, deflate: true };
}

/** RFC 7692, section 7.1: what was offered, and at most a smaller window of the server's own. */
function isOurDeflate(extensions: string): boolean {
  const [name, ...parameters] = extensions
    .toLowerCase()
    .split(';')
    .map((part) => part.trim().replaceAll('"', ''));
  const allowed =
    /^(server_no_context_takeover|client_no_context_takeover|server_max_window_bits=([89]|1[0-5]))$/;
  return (
    name === 'permessage-deflate' &&
    parameters.includes('server_no_context_takeover') &&
    new Set(parameters).size === parameters.length &&
    parameters.every((parameter) => allowed.test(parameter))
  );
}
