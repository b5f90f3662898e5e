import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import type { LinkMode } from './link-mode.ts';
import { pump } from './pump.ts';
import type { Random } from './random.ts';

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

/** Answers that an echo may give again, and the longest of them. */
const maxAnswers = 200;
const maxAnswerBytes = 65_536;

/** A TCP proxy on loopback whose manners can be changed while connections stand. */
export async function openLink({ name, random, targets, onAnswer }: LinkOptions): Promise<Link> {
  let mode: LinkMode = { kind: 'pass' };
  let connections = 0;
  const open = new Set<{ end(): void; wake(): void }>();
  /** Whole answers seen lately, by the first line of their question. */
  const answers = new Map<string, Buffer>();

  const server = createServer({ pauseOnConnect: true, allowHalfOpen: true, noDelay: true }, (client) => {
    connections += 1;
    const id = connections;
    client.on('error', () => undefined);
    if (mode.kind === 'cut') return client.resetAndDestroy();
    void reach(targets(), id).then((upstream) => {
      if (upstream && mode.kind !== 'cut' && !client.destroyed) return join(client, upstream, id);
      upstream?.destroy();
      client.resetAndDestroy();
    });
  });

  function join(client: Socket, upstream: Socket, id: number): void {
    const sockets = [client, upstream];
    const reset = () => {
      for (const socket of sockets) if (!socket.destroyed) socket.resetAndDestroy();
    };
    for (const socket of sockets) {
      socket.on('error', () => undefined);
      socket.on('close', () => {
        if (sockets.every(({ destroyed }) => destroyed)) open.delete(connection);
      });
    }
    const echo = remember();
    const common = { mode: () => mode, random, reset };
    const there = pump({ ...common, from: client, to: upstream, side: 'client', change: echo.question });
    const back = pump({
      ...common,
      from: upstream,
      to: client,
      side: 'server',
      change(bytes) {
        onAnswer?.(bytes, id);
        echo.answer(bytes);
        if (mode.kind === 'echo' && random.chance(mode.share)) return Buffer.concat([bytes, bytes]);
        if (mode.kind === 'reset' && random.chance(mode.share)) {
          client.write(bytes.subarray(0, bytes.length >> 1), reset);
          return null;
        }
        return bytes;
      },
    });
    const connection = {
      end: reset,
      wake() {
        there.wake();
        back.wake();
      },
    };
    open.add(connection);
    for (const socket of sockets) socket.resume();

    /** Which answer belongs to which question, on one connection. */
    function remember() {
      let question = '';
      let parts: Buffer[] = [];
      let length = 0;
      return {
        question(bytes: Buffer): Buffer | null {
          const line = /^(?:GET|POST|PUT|DELETE) \S+/.exec(bytes.toString('latin1', 0, 200))?.[0];
          if (!line) return bytes;
          if (question && length > 0 && length < maxAnswerBytes) keep(question, Buffer.concat(parts));
          question = line;
          parts = [];
          length = 0;
          const older = answers.get(line);
          if (mode.kind !== 'echo' || !older || !random.chance(mode.share)) return bytes;
          client.write(older);
          return null;
        },
        answer(bytes: Buffer): void {
          length += bytes.length;
          if (question && length < maxAnswerBytes) parts.push(bytes);
        },
      };
    }
  }

  function keep(question: string, answer: Buffer): void {
    answers.delete(question);
    answers.set(question, answer);
    const oldest = answers.keys().next();
    if (answers.size > maxAnswers && !oldest.done) answers.delete(oldest.value);
  }

  server.listen({ port: 0, host: '127.0.0.1', backlog: 1024 });
  await once(server, 'listening');
  return {
    name,
    port: (server.address() as AddressInfo).port,
    mode: () => mode,
    set(next) {
      mode = next;
      for (const connection of [...open]) {
        if (next.kind === 'cut') connection.end();
        else connection.wake();
      }
    },
    taken: () => connections,
    async close() {
      server.close();
      for (const { end } of [...open]) end();
    },
  };
}

async function reach(
  targets: readonly { readonly host: string; readonly port: number }[],
  turn: number,
): Promise<Socket | null> {
  for (let at = 0; at < targets.length; at += 1) {
    const target = targets[(turn + at) % targets.length];
    if (!target) continue;
    const socket = connect({ ...target, allowHalfOpen: true, noDelay: true });
    socket.pause();
    const taken = await once(socket, 'connect').then(
      () => true,
      () => false,
    );
    if (taken) return socket;
    socket.destroy();
  }
  return null;
}
