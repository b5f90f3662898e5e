import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo, Server } from 'node:net';
import { createSecureContext } from 'node:tls';
import { issueCertificate, type KeyPair } from './certificates.ts';

export interface DemoSite {
  readonly httpPort: number;
  readonly httpsPort: number;
  close(): Promise<void>;
}

export interface DemoSiteOptions {
  /** 0 for one of the system's choice. */
  readonly httpPort: number;
  readonly httpsPort: number;
  readonly authority: KeyPair;
  readonly now: () => number;
  readonly random: () => number;
}

/** The name whose certificate is always about to end. */
export const expiringName = 'expiring.parallax.test';
const flappingPeriodMs = 60_000;
const certificateRenewalMs = 3_600_000;
const dayMs = 86_400_000;

type Page = (response: ServerResponse, options: DemoSiteOptions) => void;

/** A page a kind of trouble: adding one is one line here. */
const pages: Readonly<Record<string, Page>> = {
  '/healthy': (response) => answer(response, 200, { status: 'ok' }),
  '/slow': (response, { random }) => {
    setTimeout(() => answer(response, 200, { status: 'ok' }), 400 + 400 * random());
  },
  '/flapping': (response, { now }) => {
    const good = now() % flappingPeriodMs < flappingPeriodMs / 2;
    answer(response, good ? 200 : 503, { status: good ? 'ok' : 'overloaded' });
  },
  '/broken': (response) => answer(response, 500, { status: 'broken' }),
  '/reset': (response) => void response.socket?.resetAndDestroy(),
};

/** The bundled target site: healthy, slow, flapping, broken, and the healthy page once more behind TLS. */
export async function startDemoSite(options: DemoSiteOptions): Promise<DemoSite> {
  const handle = (request: IncomingMessage, response: ServerResponse) => {
    const page = pages[new URL(request.url ?? '/', 'http://demo').pathname];
    if (page) page(response, options);
    else answer(response, 404, { pages: Object.keys(pages) });
  };
  let certificates = await certificatesAt(options);
  const http = createServer(handle);
  const https = createTlsServer(
    {
      ...certificates.lasting,
      SNICallback: (name, done) =>
        done(null, createSecureContext(name === expiringName ? certificates.expiring : certificates.lasting)),
    },
    handle,
  );
  const renewal = setInterval(async () => {
    certificates = await certificatesAt(options);
    https.setSecureContext(certificates.lasting);
  }, certificateRenewalMs);
  return {
    httpPort: await listen(http, options.httpPort),
    httpsPort: await listen(https, options.httpsPort),
    async close() {
      clearInterval(renewal);
      for (const server of [http, https]) {
        server.close();
        server.closeAllConnections();
      }
    },
  };
}

async function certificatesAt({
  authority,
  now,
}: DemoSiteOptions): Promise<{ lasting: KeyPair; expiring: KeyPair }> {
  const notBeforeMs = now() - dayMs;
  const [lasting, expiring] = await Promise.all([
    issueCertificate(authority, {
      dns: ['localhost'],
      ips: ['127.0.0.1'],
      notBeforeMs,
      notAfterMs: now() + 90 * dayMs,
    }),
    issueCertificate(authority, { dns: [expiringName], ips: [], notBeforeMs, notAfterMs: now() + 5 * dayMs }),
  ]);
  return { lasting, expiring };
}

function answer(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { 'content-type': 'application/json', 'cache-control': 'no-store' });
  response.end(`${JSON.stringify(body)}\n`);
}

async function listen(server: Server, port: number): Promise<number> {
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}
