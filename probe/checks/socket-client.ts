import type { Socket } from 'node:net';
import { Client } from 'undici';

/** What a stranger may send of an answer's head before it is enough. */
export const maxHeaderBytes = 65_536;

/** Undici's parser for one request over a connection that stands: it dials nothing, and has no clocks of its own. */
export function socketClient(origin: string, socket: Socket): Client {
  let given = false;
  return new Client(origin, {
    connect(_, callback) {
      // Where the connection ends before the request was written, undici asks for another one, for ever.
      const gone = given || socket.destroyed;
      given = true;
      // Undici writes the request in a later turn of resume(); called back at once it would never come to that.
      queueMicrotask(() => (gone ? callback(connectionGone(), null) : callback(null, socket)));
    },
    maxHeaderSize: maxHeaderBytes,
    headersTimeout: 0,
    bodyTimeout: 0,
  });
}

function connectionGone(): Error {
  return Object.assign(new Error('the connection ended'), { code: 'ECONNRESET' });
}
