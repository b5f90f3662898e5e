import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer, type TlsOptions } from 'node:tls';

export interface Asked {
  readonly method: string;
  readonly path: string;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** Writes whatever it likes, as any stranger does. */
export type Answer = (socket: Socket, asked: Asked) => void;

export interface RawServer {
  readonly port: number;
  /** What was asked since the start, oldest first. */
  readonly asked: Asked[];
  /** Connections so far. */
  connections(): number;
  close(): Promise<void>;
}

/** A server that reads requests and answers with bytes of the test's own; `greet` sees a connection before its request. */
export async function startRawServer(
  answer: Answer,
  options: {
    readonly tls?: TlsOptions;
    readonly greet?: (socket: Socket) => void;
    readonly host?: string;
  } = {},
): Promise<RawServer> {
  const asked: Asked[] = [];
  const open = new Set<Socket>();
  let connections = 0;
  const serve = (socket: Socket) => {
    connections += 1;
    open.add(socket);
    socket.once('close', () => open.delete(socket));
    socket.on('error', () => undefined);
    options.greet?.(socket);
    let text = '';
    let answered = false;
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1');
      const request = parseRequest(text);
      if (!request || answered) return;
      answered = true;
      asked.push(request);
      answer(socket, request);
    });
  };
  const server: Server = options.tls ? createTlsServer(options.tls, serve) : createServer(serve);
  // A handshake that the client ends is no matter for the server.
  server.on('tlsClientError', () => undefined);
  server.listen(0, options.host ?? '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    asked,
    connections: () => connections,
    async close() {
      for (const socket of open) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

/** Null until the whole request is there. */
function parseRequest(text: string): Asked | null {
  const end = text.indexOf('\r\n\r\n');
  if (end < 0) return null;
  const [first = '', ...lines] = text.slice(0, end).split('\r\n');
  const headers: Record<string, string> = {};
  for (const line of lines) {
    const [name = '', ...value] = line.split(':');
    headers[name.toLowerCase()] = value.join(':').trim();
  }
  const body = text.slice(end + 4);
  if (body.length < Number(headers['content-length'] ?? 0)) return null;
  const [method = '', path = ''] = first.split(' ');
  return { method, path, headers, body };
}

/** Sends the text and ends. */
export const says =
  (text: string | Buffer): Answer =>
  (socket) =>
    void socket.end(text, 'latin1');

/** A whole answer with the body's true length. */
export function whole(body: string | Buffer, headers: readonly string[] = [], status = '200 OK'): Buffer {
  const bytes = Buffer.from(body);
  const head = [`HTTP/1.1 ${status}`, `Content-Length: ${bytes.length}`, ...headers].join('\r\n');
  return Buffer.concat([Buffer.from(`${head}\r\n\r\n`, 'latin1'), bytes]);
}

/** Sends the start and then one part again and again, as fast as the other side takes it or every `everyMs`, for ever. */
export const goesOn =
  (start: string, part: string, everyMs = 0): Answer =>
  (socket) => {
    socket.write(start, 'latin1');
    if (everyMs > 0) {
      const timer = setInterval(() => socket.write(part, 'latin1'), everyMs);
      socket.once('close', () => clearInterval(timer));
      return;
    }
    const more = () => {
      while (!socket.destroyed && socket.write(part, 'latin1'));
    };
    socket.on('drain', more);
    more();
  };
