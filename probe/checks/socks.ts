import { isIP, type Socket } from 'node:net';
import ipaddr from 'ipaddr.js';
import { type Failure, type FailureCode, failure } from '../../shared/failure.ts';
import { type Attempt, addPhase, interrupted } from './attempt.ts';
import type { ProxyCredentials } from './proxy.ts';

const version = 5;
const noAuthentication = 0;
const userAndPassword = 2;
const connectCommand = 1;
const addressTypes = { ipv4: 1, name: 3, ipv6: 4 } as const;

/** What RFC 1928, section 6 lets a proxy say of the target; the others are about the proxy. */
const replies: Readonly<Record<number, readonly [FailureCode, string]>> = {
  1: ['connect.unreachable', 'it has a failure of its own (1)'],
  2: ['connect.unreachable', 'its rules forbid the connection (2)'],
  3: ['connect.unreachable', 'it finds no network there (3)'],
  4: ['connect.unreachable', 'it cannot reach or find the host (4)'],
  5: ['connect.refused', 'the target refused the connection (5)'],
  6: ['connect.timeout', 'the target did not answer it (6)'],
  7: ['connect.unreachable', 'it does not know how to connect (7)'],
  8: ['connect.unreachable', 'it does not know this kind of address (8)'],
};

class SocksError extends Error {
  readonly failure: Failure;

  constructor(code: FailureCode, message: string) {
    super(message);
    this.failure = failure(code, `the proxy: ${message}`);
  }
}

/**
 * Asks a SOCKS5 proxy for a connection to `host` (a name, which is the proxy's to resolve, or an address without
 * brackets); it counts as time to connect. Three fixed forms in turn (RFC 1928 and 1929), each read to its very last
 * byte: what comes after is the target's. No library: theirs have a clock and a socket of their own, and here there is
 * one deadline, and a socket that was vetted.
 */
export async function openSocks(
  socket: Socket,
  host: string,
  port: number,
  credentials: ProxyCredentials | null,
  attempt: Attempt,
): Promise<Socket | Failure> {
  const began = performance.now();
  const reader = readsExactly(socket);
  attempt.interrupt = (why) => {
    const { code, message } = interrupted(why, 'connect', attempt);
    reader.end(new SocksError(code, message));
  };
  try {
    if (attempt.ended) attempt.interrupt(attempt.ended);
    await greet(socket, credentials, reader.read);
    await ask(socket, host, port, reader.read);
    return socket;
  } catch (error) {
    socket.destroy();
    if (error instanceof SocksError) return error.failure;
    const code = (error as NodeJS.ErrnoException).code ?? 'ended';
    return failure('connect.unreachable', `the proxy gave no connection (${code})`);
  } finally {
    reader.end(null);
    attempt.interrupt = null;
    addPhase(attempt, 'connect', began);
  }
}

type Read = (bytes: number) => Promise<Buffer>;

async function greet(socket: Socket, credentials: ProxyCredentials | null, read: Read): Promise<void> {
  const methods = credentials === null ? [noAuthentication] : [noAuthentication, userAndPassword];
  socket.write(Buffer.from([version, methods.length, ...methods]));
  const [spoken, method] = await read(2);
  if (spoken !== version) throw new SocksError('connect.unreachable', 'it does not speak SOCKS5');
  if (method === noAuthentication) return;
  if (method !== userAndPassword || credentials === null)
    throw new SocksError('connect.unreachable', 'it wants other credentials');
  const name = Buffer.from(credentials.username);
  const password = Buffer.from(credentials.password);
  if (name.length > 255 || password.length > 255)
    throw new SocksError('connect.unreachable', 'SOCKS5 has room for 255 bytes of name or password');
  socket.write(
    Buffer.concat([Buffer.from([1, name.length]), name, Buffer.from([password.length]), password]),
  );
  const [, status] = await read(2);
  if (status !== 0) throw new SocksError('connect.unreachable', 'it refused the name and password');
}

async function ask(socket: Socket, host: string, port: number, read: Read): Promise<void> {
  const to = Buffer.alloc(2);
  to.writeUInt16BE(port);
  socket.write(Buffer.concat([Buffer.from([version, connectCommand, 0]), addressOf(host), to]));
  const [spoken, reply, , kind] = await read(4);
  if (spoken !== version) throw new SocksError('connect.unreachable', 'its answer is not SOCKS5');
  if (reply !== 0) {
    const known = replies[reply ?? -1];
    throw known ? new SocksError(...known) : new SocksError('connect.unreachable', `it answered ${reply}`);
  }
  // Where the proxy's own end is, is no matter here; the bytes must be out of the way.
  if (kind === addressTypes.ipv4) await read(4 + 2);
  else if (kind === addressTypes.ipv6) await read(16 + 2);
  else if (kind === addressTypes.name) await read(((await read(1))[0] ?? 0) + 2);
  else throw new SocksError('connect.unreachable', 'its answer is not SOCKS5');
}

function addressOf(host: string): Buffer {
  const kind = isIP(host);
  if (kind === 4) return Buffer.from([addressTypes.ipv4, ...ipaddr.parse(host).toByteArray()]);
  if (kind === 6) return Buffer.from([addressTypes.ipv6, ...ipaddr.parse(host).toByteArray()]);
  const name = Buffer.from(host);
  if (name.length > 255)
    throw new SocksError('connect.unreachable', 'SOCKS5 has room for names of 255 bytes');
  return Buffer.concat([Buffer.from([addressTypes.name, name.length]), name]);
}

interface ExactReader {
  readonly read: Read;
  /** Takes the reader off the socket; whoever waits gets the error. */
  end(error: Error | null): void;
}

/** Takes so many bytes and leaves the rest in the socket, for whoever is next. */
function readsExactly(socket: Socket): ExactReader {
  let waiting: { bytes: number; resolve(bytes: Buffer): void; reject(error: Error): void } | null = null;
  let broken: Error | null = null;
  const look = () => {
    if (!waiting) return;
    const bytes: Buffer | null = socket.read(waiting.bytes);
    if (bytes === null) return;
    const { resolve, reject, bytes: wanted } = waiting;
    waiting = null;
    // At its end a stream gives what it has left.
    if (bytes.length === wanted) resolve(bytes);
    else reject(new Error('too short'));
  };
  const fail = (error: Error) => {
    broken ??= error;
    waiting?.reject(broken);
    waiting = null;
  };
  const ended = () => fail(Object.assign(new Error('the connection ended'), { code: 'ECONNRESET' }));
  socket.on('readable', look);
  socket.on('end', ended);
  socket.on('close', ended);
  socket.on('error', fail);
  return {
    read: (bytes) =>
      new Promise((resolve, reject) => {
        if (broken) return reject(broken);
        waiting = { bytes, resolve, reject };
        look();
      }),
    end(error) {
      if (error) fail(error);
      socket.off('readable', look);
      socket.off('end', ended);
      socket.off('close', ended);
      socket.off('error', fail);
    },
  };
}
