import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { request } from 'undici';
import type { HubLink } from '../../../probe/hub/hub-link.ts';
import { type Batch, decodeBatch, type SealedBatch } from '../../../shared/batch.ts';
import { batchFromRelay } from '../../../shared/relay.ts';

/** Requests to a hub that asks for no proof. */
export function plainLink(origin: () => string): HubLink {
  return {
    async request(method, path, { body, headers, timeoutMs, signal }) {
      const answer = await request(`${origin()}${path}`, {
        method,
        body: body ?? null,
        headers: { ...headers },
        signal: AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]),
      });
      return {
        status: answer.statusCode,
        headers: new Headers(answer.headers as Record<string, string>),
        body: new Uint8Array(await answer.body.arrayBuffer()),
      };
    },
  };
}

export interface FakeRelay {
  readonly origin: string;
  /** Every batch that came whole, also those it did not acknowledge. */
  readonly received: { readonly batch: SealedBatch; readonly content: Batch; readonly atMs: number }[];
  /** What it does with a request, from now on. */
  behave(how: (request: IncomingMessage, answer: ServerResponse, content: Batch) => void): void;
  /** Takes everything. */
  heal(): void;
  /** Its port stays its own. */
  close(): Promise<void>;
  listen(): Promise<void>;
}

const take = (_: IncomingMessage, answer: ServerResponse) => void answer.writeHead(204).end();

/** A relay on a real socket that can be made to misbehave. */
export async function fakeRelay(): Promise<FakeRelay> {
  let how: Parameters<FakeRelay['behave']>[0] = take;
  const received: FakeRelay['received'] = [];
  const serve = async (incoming: IncomingMessage, answer: ServerResponse) => {
    const chunks: Buffer[] = [];
    for await (const chunk of incoming) chunks.push(chunk as Buffer);
    const batch = batchFromRelay(
      new Headers(incoming.headers as Record<string, string>),
      Buffer.concat(chunks),
    );
    if (typeof batch === 'string') throw new Error(`the header ${batch} is off`);
    const content = decodeBatch(batch.value, batch.headers.schema);
    received.push({ batch, content, atMs: performance.now() });
    how(incoming, answer, content);
  };
  let server: Server;
  let port = 0;
  const listen = async () => {
    server = createServer((incoming, answer) => {
      serve(incoming, answer).catch(() => incoming.destroy());
    });
    await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
    port = (server.address() as AddressInfo).port;
  };
  await listen();
  return {
    origin: `http://127.0.0.1:${port}`,
    received,
    behave(next) {
      how = next;
    },
    heal() {
      how = take;
    },
    listen,
    async close() {
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      await closed;
    },
  };
}

export async function newFolder(): Promise<{ readonly path: string; remove(): Promise<void> }> {
  const path = await mkdtemp(join(tmpdir(), 'parallax-spool-'));
  return { path, remove: () => rm(path, { recursive: true, force: true }) };
}
