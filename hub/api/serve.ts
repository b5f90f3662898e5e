import {
  createServer as createHttpServer,
  type RequestListener,
  type Server,
  type ServerResponse,
  STATUS_CODES,
} from 'node:http';
import { createServer as createHttpsServer, type Server as HttpsServer } from 'node:https';
import type { Socket } from 'node:net';
import { getRequestListener } from '@hono/node-server';
import type { Hono } from 'hono';
import type { Logger } from 'pino';
import type { HubConfig } from '../config.ts';
import { Problem } from '../problem.ts';
import { whyNotListening } from '../up/listen.ts';
import { type CertificateWatch, readCertificate, watchCertificate } from './certificate.ts';
import type { ApiEnv } from './operator.ts';
import { problemDocument, problemOf, problemResponse, problemType } from './problem-answers.ts';

export interface Serving {
  readonly port: number;
  /** Takes no more connections, and closes each with its next answer: who waits here finds another replica at once. */
  drain(): void;
  /** Takes no more, lets requests in hand end for `graceMs`, then cuts them off. */
  stop(graceMs: number): Promise<void>;
}

export interface ServeOptions {
  readonly app: Hono<ApiEnv>;
  readonly listen: HubConfig['listen'];
  readonly tls: HubConfig['tls'];
  readonly log: Pick<Logger, 'info' | 'error'>;
  readonly clockMs: () => number;
  readonly limits?: Partial<ServerLimits>;
}

/** What one stranger may take of us. The waits of leases and event streams come after the request, and are not meant. */
export interface ServerLimits {
  readonly headerBytes: number;
  readonly headersMs: number;
  readonly requestMs: number;
  /** Nothing sent and nothing taken for so long: longer than the pause between two signs of life of an event stream. */
  readonly idleMs: number;
  readonly keepAliveMs: number;
  readonly connections: number;
}

const usualLimits: ServerLimits = {
  headerBytes: 16 * 1024,
  headersMs: 10_000,
  requestMs: 60_000,
  idleMs: 120_000,
  // Longer than usual load balancers (60 s): they, not we, close a connection they may be about to use.
  keepAliveMs: 75_000,
  connections: 20_000,
};

/** Resolves when it listens. Throws one line where the port cannot be had or the certificate is broken. */
export async function serve(options: ServeOptions): Promise<Serving> {
  const { app, listen, tls, log, clockMs } = options;
  const limits = { ...usualLimits, ...options.limits };
  const listener = getRequestListener(app.fetch, {
    overrideGlobalObjects: false,
    errorHandler: (error) => problemResponse(problemOf(asRequestError(error)), ''),
  }) as RequestListener;
  const settings = {
    maxHeaderSize: limits.headerBytes,
    headersTimeout: limits.headersMs,
    requestTimeout: limits.requestMs,
    keepAliveTimeout: limits.keepAliveMs,
    connectionsCheckingInterval: Math.min(1000, limits.headersMs / 2),
  };
  let server: Server | HttpsServer;
  let watching: CertificateWatch | null = null;
  if (tls) {
    const first = await readCertificate(tls, clockMs());
    const secure = createHttpsServer(
      { ...settings, ...first, minVersion: 'TLSv1.2', handshakeTimeout: 10_000 },
      listener,
    );
    const use = (next: { cert: string; key: string }) =>
      secure.setSecureContext({ ...next, minVersion: 'TLSv1.2' });
    watching = watchCertificate({ files: tls, first, use, log, clockMs });
    server = secure;
  } else {
    server = createHttpServer(settings, listener);
  }
  server.maxHeadersCount = 100;
  server.maxConnections = limits.connections;
  server.setTimeout(limits.idleMs);
  server.on('clientError', answerClientError);
  const draining = createDrain(server);
  try {
    await listenOn(server, listen);
  } catch (error) {
    watching?.stop();
    throw error;
  }
  const address = server.address();
  return {
    port: typeof address === 'object' && address ? address.port : listen.port,
    drain: () => void draining.begin(),
    async stop(graceMs) {
      watching?.stop();
      const cut = setTimeout(() => server.closeAllConnections(), graceMs);
      await draining.begin();
      clearTimeout(cut);
    },
  };
}

function listenOn(server: Server | HttpsServer, { host, port }: HubConfig['listen']): Promise<void> {
  return new Promise((done, failed) => {
    server.once('error', (error: NodeJS.ErrnoException) =>
      failed(new Error(whyNotListening(error, { host, port }), { cause: error })),
    );
    server.listen({ host, port, backlog: 4096 }, () => {
      server.removeAllListeners('error');
      done();
    });
  });
}

/**
 * Node closes idle connections of a server that ends, but keeps alive those with a request in hand, over and over: ten
 * thousand probes that ask again at once kept a hub from stopping.
 */
function createDrain(server: Server | HttpsServer): { begin(): Promise<void> } {
  const open = new Set<ServerResponse>();
  let closed: Promise<void> | null = null;
  server.on('request', (_, response: ServerResponse) => {
    if (closed) response.shouldKeepAlive = false;
    open.add(response);
    response.once('close', () => open.delete(response));
  });
  return {
    begin() {
      closed ??= new Promise((done) => {
        server.close(() => done());
        server.closeIdleConnections();
        for (const response of open) response.shouldKeepAlive = false;
      });
      return closed;
    },
  };
}

/** What cannot be read as a request at all gets a problem document too, written by hand. */
function answerClientError(error: NodeJS.ErrnoException, socket: Socket): void {
  if (!socket.writable || error.code === 'ECONNRESET') {
    socket.destroy();
    return;
  }
  const problem = clientProblem(error.code ?? '');
  const body = `${JSON.stringify(problemDocument(problem, ''))}\n`;
  socket.end(
    `HTTP/1.1 ${problem.status} ${STATUS_CODES[problem.status]}\r\ncontent-type: ${problemType}\r\ncontent-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
  );
  // Whoever does not take the answer either is cut off.
  setTimeout(() => socket.destroy(), 1000).unref();
}

function clientProblem(code: string): Problem {
  if (code === 'HPE_HEADER_OVERFLOW') {
    return new Problem(
      431,
      'request.headers_too_large',
      `a request has at most ${usualLimits.headerBytes} bytes of headers`,
    );
  }
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') {
    return new Problem(408, 'request.timeout', 'the request did not arrive in time');
  }
  return new Problem(400, 'request.malformed', 'this is not an HTTP/1.1 request');
}

/** hono's adapter throws its own error for a request line or Host it cannot make a URL of. */
function asRequestError(error: unknown): unknown {
  const named = error instanceof Error && error.name === 'RequestError';
  return named ? new Problem(400, 'request.malformed', error.message) : error;
}
