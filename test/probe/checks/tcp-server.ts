import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { createServer as createTlsServer, TLSSocket, type TlsOptions } from 'node:tls';

export interface TcpServer {
  readonly port: number;
  /** Everything that was sent to it, of all connections. */
  heard(): string;
  connections(): number;
  close(): Promise<void>;
}

/** A server that does whatever the test wants with a connection. */
export async function startTcpServer(
  serve: (socket: Socket) => void,
  options: { readonly tls?: TlsOptions; readonly host?: string } = {},
): Promise<TcpServer> {
  const open = new Set<Socket>();
  let heard = '';
  let connections = 0;
  const accept = (socket: Socket) => {
    connections += 1;
    open.add(socket);
    socket.once('close', () => open.delete(socket));
    socket.on('error', () => undefined);
    socket.on('data', (chunk) => {
      heard += chunk.toString('latin1');
    });
    serve(socket);
  };
  const server = options.tls ? createTlsServer(options.tls, accept) : createServer(accept);
  server.on('tlsClientError', () => undefined);
  server.listen(0, options.host ?? '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    heard: () => heard,
    connections: () => connections,
    async close() {
      for (const socket of open) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

/** The server's side of a change to TLS; what comes and goes after it goes over the socket that is given. */
export function becomeTls(
  socket: Socket,
  tls: TlsOptions,
  serve: (secured: TLSSocket) => void = () => undefined,
) {
  socket.removeAllListeners('data');
  const secured = new TLSSocket(socket, { isServer: true, ...tls });
  secured.on('error', () => undefined);
  secured.once('secure', () => serve(secured));
}

/** Calls `answer` with each line that comes, without its end, until the socket is somebody else's. */
export function onLines(socket: Socket, answer: (line: string) => void): void {
  let text = '';
  socket.on('data', (chunk) => {
    text += chunk.toString('latin1');
    const lines = text.split(/\r?\n/);
    text = lines.pop() ?? '';
    for (const line of lines) answer(line);
  });
}
