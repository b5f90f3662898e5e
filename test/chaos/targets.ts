import { once } from 'node:events';
import { createServer } from 'node:http';
import { type AddressInfo, createServer as createTcpServer } from 'node:net';
import type { Random } from './random.ts';

/** What stands where endpoints point to, and writes down who asks. */
export interface Targets {
  readonly port: number;
  /** No probe is allowed to reach this one. */
  readonly decoyPort: number;
  /** Requests per path, in all. */
  readonly asked: ReadonlyMap<string, number>;
  /** Instants of the last requests of a path, epoch milliseconds: at most `kept`. */
  lately(path: string): readonly number[];
  total(): number;
  /** Connections that no policy allows: must stay 0. */
  trespasses(): number;
  close(): Promise<void>;
}

const kept = 2000;

/** `/ok/N`, `/failing/N` (503), `/slow/N` (200 ms) and `/mixed/N` (one of ten fails). */
export async function startTargets(random: Random): Promise<Targets> {
  const asked = new Map<string, number>();
  const times = new Map<string, number[]>();
  let total = 0;
  let trespasses = 0;
  const server = createServer((request, response) => {
    const path = request.url ?? '';
    total += 1;
    asked.set(path, (asked.get(path) ?? 0) + 1);
    const seen = times.get(path) ?? [];
    seen.push(Date.now());
    if (seen.length > kept) seen.splice(0, kept / 2);
    times.set(path, seen);
    const kind = path.split('/')[1];
    const fails = kind === 'failing' || (kind === 'mixed' && random.chance(0.1));
    const answer = () => response.writeHead(fails ? 503 : 200, { 'content-length': 4 }).end('fine');
    if (kind === 'slow') setTimeout(answer, 200);
    else answer();
  });
  const decoy = createTcpServer((socket) => {
    trespasses += 1;
    socket.destroy();
  });
  for (const each of [server, decoy]) {
    each.listen({ port: 0, host: '127.0.0.1', backlog: 4096 });
    await once(each, 'listening');
  }
  const portOf = (each: typeof server | typeof decoy) => (each.address() as AddressInfo).port;
  return {
    port: portOf(server),
    decoyPort: portOf(decoy),
    asked,
    lately: (path) => times.get(path) ?? [],
    total: () => total,
    trespasses: () => trespasses,
    async close() {
      server.closeAllConnections();
      server.close();
      decoy.close();
    },
  };
}
