import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import type { ProbeConfig } from '../../probe/config.ts';
import type { Outbox, OutboxTerms } from '../../probe/deliver/outbox.ts';
import { type ProbeParts, runProbe } from '../../probe/main.ts';
import { makeChecker } from '../../probe/run/make-checker.ts';
import { measured } from '../../probe/run/measured.ts';
import { watchNoise } from '../../probe/run/noise.ts';
import { createLog } from '../../probe/watch/log.ts';
import type { EncodedShardDocument } from '../../shared/assignment.ts';
import type { Result } from '../../shared/result.ts';
import type { FakeHub } from './fake-hub.ts';

export interface StartedProbe {
  readonly results: Result[];
  readonly terms: OutboxTerms[];
  /** What it logged, parsed. */
  readonly lines: Record<string, unknown>[];
  /** Everything it wrote to its log. */
  text(): string;
  /** Resolves when it logged a message that holds this. */
  said(message: string, withinMs?: number): Promise<void>;
  /** Resolves when there are so many results. */
  resulted(count: number, withinMs?: number): Promise<void>;
  /** Settles as runProbe does. */
  readonly ended: Promise<void>;
  stop(): Promise<void>;
}

export async function tempFolder(): Promise<{ path: string; remove(): Promise<void> }> {
  const path = await mkdtemp(join(tmpdir(), 'parallax-probe-'));
  return { path, remove: () => rm(path, { recursive: true, force: true }) };
}

/** A probe that may check loopback, without a hub or a folder. */
export const probeConfig: Omit<ProbeConfig, 'dataDir'> = {
  hub: null,
  token: null,
  name: 'test',
  delivery: 'auto',
  workers: 1,
  capacity: 1000,
  allowNetworks: ['127.0.0.0/8'],
  allowProxy: false,
  network: { anchors: [], canaryDomains: [], knownPage: null },
  hubCaFile: null,
  kafkaCertificate: null,
  metrics: null,
  maxRate: null,
  maxMemoryBytes: null,
  nice: null,
  contact: null,
  orphanWebhook: null,
  once: false,
  spoolMaxBytes: 2 ** 20,
  env: {},
};

/** The real probe in this process: real sockets, disk and checks; results end in a list. */
export function startProbe(
  config: Partial<ProbeConfig> & { readonly dataDir: string },
  over: Partial<ProbeParts> = {},
): StartedProbe {
  const stopping = new AbortController();
  const results: Result[] = [];
  const terms: OutboxTerms[] = [];
  const lines: Record<string, unknown>[] = [];
  let text = '';
  const watchers = new Set<() => void>();
  const changed = () => {
    for (const look of [...watchers]) look();
  };
  const destination = new Writable({
    write(chunk: Buffer, _encoding, done) {
      text += chunk.toString();
      for (const line of chunk.toString().split('\n').filter(Boolean)) lines.push(JSON.parse(line));
      changed();
      done();
    },
  });
  const outbox: Outbox = {
    async add(result) {
      results.push(result);
      changed();
    },
    obey: (given) => void terms.push(given),
    status: () => ({ spoolBytes: 0, dropped: 0, streams: [], way: null, trouble: null }),
    stop: async () => undefined,
  };
  const full: ProbeConfig = {
    ...probeConfig,
    ...config,
  };
  const ended = runProbe(
    full,
    {
      log: createLog('debug', destination),
      makeChecker: async (given) => measured(await makeChecker({ ...full, ...given }), watchNoise()),
      openOutbox: async () => outbox,
      ...over,
    },
    stopping.signal,
  );
  ended.catch(() => changed());
  const until = (what: string, holds: () => boolean, withinMs: number) =>
    new Promise<void>((done, fail) => {
      const timer = setTimeout(() => {
        watchers.delete(look);
        fail(new Error(`the probe did not come to ${what} in ${withinMs} ms; it said:\n${text}`));
      }, withinMs);
      const look = () => {
        if (!holds()) return;
        clearTimeout(timer);
        watchers.delete(look);
        done();
      };
      watchers.add(look);
      look();
    });
  return {
    results,
    terms,
    lines,
    text: () => text,
    said: (message, withinMs = 10_000) =>
      until(`saying '${message}'`, () => text.includes(message), withinMs),
    resulted: (count, withinMs = 10_000) =>
      until(`${count} results`, () => results.length >= count, withinMs),
    ended,
    async stop() {
      stopping.abort();
      await ended;
    },
  };
}

/** A target on loopback that counts who asks for what. */
export async function startTarget(): Promise<{
  url: string;
  /** Instants of requests by path, epoch milliseconds. */
  readonly hits: Map<string, number[]>;
  status: number;
  close(): Promise<void>;
}> {
  const hits = new Map<string, number[]>();
  const target = { url: '', hits, status: 200, close };
  const server: Server = createServer((request, response) => {
    const path = request.url ?? '';
    hits.set(path, [...(hits.get(path) ?? []), Date.now()]);
    response.writeHead(target.status).end('ok');
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  target.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  async function close(): Promise<void> {
    server.closeAllConnections();
    server.close();
    await once(server, 'close');
  }
  return target;
}

type EncodedEndpoint = EncodedShardDocument['endpoints'][number];

export function endpoint(id: number, url: string, over: Partial<EncodedEndpoint> = {}): EncodedEndpoint {
  return {
    id,
    rev: 1,
    name: `endpoint-${id}`,
    url,
    intervalMs: 1000,
    timeoutMs: 500,
    replicas: 1,
    retries: { count: 0, delayMs: 0 },
    robots: 'ignore',
    changedAt: 0,
    request: {},
    expect: {},
    ...over,
  };
}

export function assign(hub: FakeHub, ...endpoints: readonly EncodedEndpoint[]): void {
  for (const each of endpoints) hub.endpoints.set(each.id, each);
  hub.wake();
}
