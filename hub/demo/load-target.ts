import { once } from 'node:events';
import { createServer, type RequestListener } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { issueCertificate, makeAuthority } from './certificates.ts';

export interface LoadTargetOptions {
  readonly host: string;
  readonly port: number;
  readonly tls: boolean;
  /** Bytes of each body. */
  readonly bodyBytes: number;
  /** Milliseconds before each answer. */
  readonly delayMs: number;
  /** Share of the answers that are 503, 0 to 1. */
  readonly failing: number;
  readonly random: () => number;
}

export interface LoadTarget {
  readonly url: string;
  /** PEM of the authority to trust, where it speaks TLS. */
  readonly ca: string | null;
  /** Answers given so far. */
  answered(): number;
  close(): Promise<void>;
}

/** A site to try loads on: every path answers the same, as cheaply as node:http can, and connections stay open if asked to. */
export async function startLoadTarget(options: LoadTargetOptions): Promise<LoadTarget> {
  const { host, port, tls, bodyBytes, delayMs, failing, random } = options;
  const body = Buffer.alloc(bodyBytes, 'parallax ');
  let answered = 0;
  const handle: RequestListener = async (_, response) => {
    if (delayMs > 0) await sleep(delayMs);
    response.writeHead(failing > 0 && random() < failing ? 503 : 200, {
      'content-type': 'text/plain',
      'content-length': body.length,
    });
    response.end(body);
    answered += 1;
  };
  const authority = tls ? await makeAuthority(Date.now()) : null;
  const server = authority
    ? createTlsServer({ ...(await certificateOf(authority, host)), ecdhCurve: 'X25519:P-256:P-384' }, handle)
    : createServer(handle);
  server.listen({ port, host, backlog: 4096 });
  await once(server, 'listening');
  const bound = (server.address() as AddressInfo).port;
  const name = host.includes(':') ? `[${host}]` : host;
  return {
    url: `${tls ? 'https' : 'http'}://${name}:${bound}/`,
    ca: authority?.cert ?? null,
    answered: () => answered,
    async close() {
      server.close();
      server.closeAllConnections();
    },
  };
}

function certificateOf(authority: { readonly cert: string; readonly key: string }, host: string) {
  const day = 86_400_000;
  return issueCertificate(authority, {
    dns: ['localhost'],
    ips: ['127.0.0.1', '::1', host].filter((each, index, all) => all.indexOf(each) === index),
    notBeforeMs: Date.now() - day,
    notAfterMs: Date.now() + 90 * day,
  });
}
