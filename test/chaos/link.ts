import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import type { Random } from './random.ts';

/** What a link does to the bytes that pass. `from` the client or the server: which direction. */
export type LinkMode =
  | { readonly kind: 'pass' }
  /** Connections end, and none is taken. */
  | { readonly kind: 'cut' }
  /** Nothing passes and nobody is told; `both` ways or what comes from one side. */
  | { readonly kind: 'silent'; readonly from: 'client' | 'server' | 'both' }
  | { readonly kind: 'delay'; readonly ms: number }
  /** So many bytes a second, each way. */
  | { readonly kind: 'trickle'; readonly bytesPerSecond: number }
  /** As TCP shows loss: a share of what is sent comes late by a retransmission, and rarely the connection breaks. */
  | { readonly kind: 'loss'; readonly share: number }
  /** The connection is reset in the middle of an answer. */
  | { readonly kind: 'reset'; readonly share: number }
  /** An answer is given twice, or an older answer to the same question in its place. HTTP only. */
  | { readonly kind: 'echo'; readonly share: number };

export interface Link {
  readonly name: string;
  readonly port: number;
  mode(): LinkMode;
  set(mode: LinkMode): void;
  /** Connections taken so far. */
  taken(): number;
  close(): Promise<void>;
}

export interface LinkOptions {
  readonly name: string;
  readonly random: Random;
  /** Where it leads: tried in turn, from another one each time, until one takes the connection. */
  readonly targets: () => readonly { readonly host: string; readonly port: number }[];
  /** Sees what the server says, before it is passed on. */
  readonly onAnswer?: (bytes: Buffer, connection: number) => void;
}

/** A TCP proxy on loopback whose manners can be changed while connections stand. */
export async function openLink({ name, random, targets, onAnswer }: LinkOptions): Promise<Link> {
  let mode: LinkMode = { kind: 'pass' };
  let connections = 0;
  const open = new Set<() => void>();
  const onMode = new Set<() => void>();
  /** Whole answers seen lately, by the first line of their question. */
  const answers = new Map<string, Buffer>();

  const server = createServer({ pauseOnConnect: true }, (client) => {
    connections += 1;
    const id = connections;
    client.on('error', () => undefined);
    if (mode.kind === 'cut') return client.resetAndDestroy();
    void reach(targets(), id).then((upstream) => {
      if (!upstream) return client.resetAndDestroy();
      join(client, upstream, id);
    });
  });

  function join(client: Socket, upstream: Socket, id: number): void {
    let question = '';
    let answer: Buffer[] = [];
    const end = () => {
      open.delete(end);
      client.destroy();
      upstream.destroy();
    };
    const reset = () => {
      open.delete(end);
      if (!client.destroyed) client.resetAndDestroy();
      if (!upstream.destroyed) upstream.resetAndDestroy();
    };
    open.add(end);
    for (const socket of [client, upstream]) {
      socket.setNoDelay(true);
      socket.on('error', reset);
    }
    pump(client, upstream, 'client', reset, (bytes) => {
      const line = /^(?:GET|POST|PUT|DELETE) \S+/.exec(bytes.toString('latin1', 0, 200))?.[0];
      if (!line) return bytes;
      if (question && answer.length > 0) answers.set(question, Buffer.concat(answer));
      question = line;
      answer = [];
      const older = answers.get(line);
      if (mode.kind === 'echo' && older && random.chance(mode.share)) {
        client.write(older);
        return null;
      }
      return bytes;
    });
    pump(upstream, client, 'server', reset, (bytes) => {
      onAnswer?.(bytes, id);
      if (question && answer.reduce((sum, part) => sum + part.length, 0) < 65_536) answer.push(bytes);
      if (mode.kind === 'echo' && random.chance(mode.share)) return Buffer.concat([bytes, bytes]);
      if (mode.kind === 'reset' && random.chance(mode.share)) {
        client.write(bytes.subarray(0, bytes.length >> 1), reset);
        return null;
      }
      return bytes;
    });
    client.on('close', () => {
      open.delete(end);
      upstream.destroy();
    });
    upstream.on('close', () => {
      open.delete(end);
      client.end();
    });
  }

  /** One direction, in order, at the pace of the mode. */
  function pump(
    from: Socket,
    to: Socket,
    side: 'client' | 'server',
    reset: () => void,
    change: (bytes: Buffer) => Buffer | null,
  ): void {
    const queue: { bytes: Buffer; dueMs: number }[] = [];
    let waiting = false;
    let held = 0;
    let lastDueMs = 0;

    const silent = () => mode.kind === 'silent' && (mode.from === 'both' || mode.from === side);
    const flow = () => {
      if (waiting) return;
      const first = queue[0];
      if (!first || silent() || to.destroyed) return;
      const leftMs = first.dueMs - performance.now();
      if (leftMs > 0) return again(leftMs);
      if (mode.kind === 'trickle') {
        const bytes = first.bytes.subarray(0, mode.bytesPerSecond);
        const rest = first.bytes.subarray(bytes.length);
        if (rest.length > 0) queue[0] = { bytes: rest, dueMs: first.dueMs };
        else queue.shift();
        held -= bytes.length;
        to.write(bytes);
        return again(1000);
      }
      queue.shift();
      held -= first.bytes.length;
      if (held < maxHeld) from.resume();
      if (to.write(first.bytes)) return flow();
      waiting = true;
      to.once('drain', () => {
        waiting = false;
        flow();
      });
    };
    const again = (ms: number) => {
      waiting = true;
      setTimeout(() => {
        waiting = false;
        flow();
      }, ms).unref();
    };
    onMode.add(flow);
    from.on('close', () => onMode.delete(flow));
    from.on('data', (raw: Buffer) => {
      const bytes = change(raw);
      if (!bytes) return;
      let lateMs = mode.kind === 'delay' ? mode.ms : 0;
      if (mode.kind === 'loss' && random.chance(mode.share)) {
        if (random.chance(0.02)) return reset();
        lateMs = random.int(200, 1500);
      }
      // In order, as TCP keeps it: what comes after waits behind what is late.
      lastDueMs = Math.max(lastDueMs, performance.now() + lateMs);
      queue.push({ bytes, dueMs: lastDueMs });
      held += bytes.length;
      if (held >= maxHeld) from.pause();
      flow();
    });
    from.on('end', () => {
      const finish = () => (queue.length === 0 || to.destroyed ? to.end() : setTimeout(finish, 50).unref());
      finish();
    });
    from.resume();
  }

  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    name,
    port: (server.address() as AddressInfo).port,
    mode: () => mode,
    set(next) {
      mode = next;
      if (next.kind === 'cut') for (const end of [...open]) end();
      for (const flow of [...onMode]) flow();
    },
    taken: () => connections,
    async close() {
      server.close();
      for (const end of [...open]) end();
    },
  };
}

/** What one direction may hold back: a link has no endless buffer either. */
const maxHeld = 1024 * 1024;

async function reach(
  targets: readonly { readonly host: string; readonly port: number }[],
  turn: number,
): Promise<Socket | null> {
  for (let at = 0; at < targets.length; at += 1) {
    const target = targets[(turn + at) % targets.length];
    if (!target) continue;
    const socket = connect({ ...target, allowHalfOpen: false });
    const taken = await Promise.race([
      once(socket, 'connect').then(
        () => true,
        () => false,
      ),
      once(socket, 'error').then(
        () => false,
        () => false,
      ),
    ]);
    if (taken) return socket;
    socket.destroy();
  }
  return null;
}
