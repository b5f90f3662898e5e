import type { Socket } from 'node:net';
import { type Failure, failure } from '../../shared/failure.ts';
import { type Attempt, addPhase, type Interruption, interrupted } from './attempt.ts';
import { handshakeFailure } from './handshake.ts';

/** What happened on a connection while somebody waited for it. */
export type Heard =
  | { readonly kind: 'bytes' }
  /** Nothing more for a while. */
  | { readonly kind: 'quiet' }
  | { readonly kind: 'gone'; readonly reset: boolean; readonly how: string }
  /** TLS over it broke: a client's certificate is refused only after the handshake (TLS 1.3). */
  | { readonly kind: 'broken'; readonly failure: Failure }
  | { readonly kind: 'interrupted'; readonly why: Interruption };

/** One connection, read as far as somebody asks for it. Time until the first byte counts as `wait`, then as `transfer`. */
export interface Wire {
  readonly socket: Socket;
  /** What came and was not taken. A view: the next bytes may move it. */
  unread(): Buffer;
  /** Lines among it that are whole, without their ends; `take` the bytes to go on. */
  lines(): readonly WireLine[];
  /** Of what is unread, so many bytes are done with. */
  take(bytes: number): void;
  /** Waits for more bytes, at most `quietMs` of silence where that is given. */
  more(quietMs?: number): Promise<Heard>;
  send(data: Buffer): void;
  /** What the server sent before anything was sent to it: at most 512 bytes, empty once it had to be asked. */
  greeting(): Buffer;
  /** All bytes that came. */
  received(): number;
  /** performance.now() of the last bytes. */
  lastByteMs(): number;
  /** So many milliseconds were the probe's own: neither the deadline's nor the target's. */
  leaveOut(ms: number): void;
  /** Lets go of the socket, for TLS over it. */
  detach(): void;
  /** Ends the connection in order, which nobody waits for. */
  leave(): void;
}

export interface WireLine {
  readonly text: string;
  /** Bytes of `unread` up to the line's end and with it. */
  readonly end: number;
}

/** What waits unread before the server has to wait: a step reads no more. */
export const mostUnreadBytes = 65_536;
const greetingBytes = 512;
/** How long a server may take for its end of the connection. */
const lingerMs = 1000;
const newline = 10;
const carriageReturn = 13;

export function openWire(socket: Socket, attempt: Attempt): Wire {
  let bytes = Buffer.alloc(4096);
  let start = 0;
  let end = 0;
  /** Up to here there is no end of a line. */
  let searched = 0;
  let received = 0;
  let asked = false;
  let greeting = Buffer.alloc(0);
  let lastByteMs = performance.now();
  let beganMs = lastByteMs;
  let fresh = false;
  let over: Exclude<Heard, { kind: 'bytes' | 'quiet' }> | null = null;
  let listener: ((heard: Heard) => void) | null = null;
  let detached = false;

  const tell = (heard: Heard) => {
    const tellTo = listener;
    listener = null;
    tellTo?.(heard);
  };
  /** In place where there is room, in twice the room where there is not: bytes that drip are not copied one by one. */
  const append = (chunk: Buffer) => {
    if (end + chunk.length > bytes.length) {
      const waiting = end - start;
      const room = waiting + chunk.length;
      const target = room * 2 > bytes.length ? Buffer.alloc(room * 2) : bytes;
      bytes.copy(target, 0, start, end);
      bytes = target;
      searched -= start;
      start = 0;
      end = waiting;
    }
    chunk.copy(bytes, end);
    end += chunk.length;
  };
  const book = () => {
    addPhase(attempt, attempt.timings.wait === null ? 'wait' : 'transfer', beganMs);
    beganMs = performance.now();
  };
  const onData = (chunk: Buffer) => {
    if (received === 0 && attempt.timings.wait === null) book();
    received += chunk.length;
    lastByteMs = performance.now();
    if (!asked && greeting.length < greetingBytes)
      greeting = Buffer.concat([greeting, chunk.subarray(0, greetingBytes - greeting.length)]);
    append(chunk);
    if (end - start > mostUnreadBytes) socket.pause();
    if (listener) tell({ kind: 'bytes' });
    else fresh = true;
  };
  const finish = (heard: Exclude<Heard, { kind: 'bytes' | 'quiet' }>) => {
    if (detached || over) return;
    over = heard;
    tell(heard);
  };
  const onEnd = () => finish({ kind: 'gone', reset: false, how: 'was closed' });
  const onError = (error: NodeJS.ErrnoException) => {
    const { code } = error;
    if (code?.startsWith('ERR_SSL')) return finish({ kind: 'broken', failure: handshakeFailure(error) });
    const reset = code === 'ECONNRESET' || code === 'EPIPE';
    finish({ kind: 'gone', reset, how: reset ? 'was reset' : `broke (${code ?? 'unknown error'})` });
  };
  attempt.interrupt = (why) => finish({ kind: 'interrupted', why });
  if (attempt.ended) finish({ kind: 'interrupted', why: attempt.ended });
  socket.on('error', onError);
  socket.once('end', onEnd);
  socket.once('close', onEnd);
  socket.on('data', onData);
  socket.resume();

  const letGo = () => {
    if (detached) return false;
    detached = true;
    attempt.interrupt = null;
    socket.off('data', onData);
    socket.off('end', onEnd);
    socket.off('close', onEnd);
    book();
    return true;
  };

  return {
    socket,
    unread: () => bytes.subarray(start, end),
    lines() {
      const found: WireLine[] = [];
      let from = start;
      let look = Math.max(start, searched);
      for (;;) {
        const at = bytes.subarray(0, end).indexOf(newline, look);
        if (at < 0) break;
        const last = at > from && bytes[at - 1] === carriageReturn ? at - 1 : at;
        found.push({ text: bytes.toString('utf8', from, last), end: at + 1 - start });
        from = look = at + 1;
      }
      if (found.length === 0) searched = end;
      return found;
    },
    take(count) {
      start = Math.min(end, start + count);
      searched = Math.max(searched, start);
      if (start === end) searched = start = end = 0;
      if (end - start <= mostUnreadBytes && socket.isPaused()) socket.resume();
    },
    more(quietMs) {
      if (fresh) {
        fresh = false;
        return Promise.resolve({ kind: 'bytes' });
      }
      if (over) return Promise.resolve(over);
      return new Promise((resolve) => {
        const timer =
          quietMs === undefined
            ? undefined
            : setTimeout(
                () => tell({ kind: 'quiet' }),
                Math.max(0, lastByteMs + quietMs - performance.now()),
              );
        listener = (heard) => {
          clearTimeout(timer);
          resolve(heard);
        };
      });
    },
    send(data) {
      asked = true;
      socket.write(data);
    },
    greeting: () => greeting,
    received: () => received,
    lastByteMs: () => lastByteMs,
    leaveOut(ms) {
      attempt.beganMs += ms;
      beganMs += ms;
    },
    detach() {
      letGo();
      socket.pause();
    },
    leave() {
      if (!letGo() || socket.destroyed) return;
      // What comes now is read and forgotten, so that the server sees an end and no reset.
      let rest = 0;
      socket.on('data', (chunk: Buffer) => {
        rest += chunk.length;
        if (rest > mostUnreadBytes) socket.destroy();
      });
      socket.resume();
      socket.end();
      socket.once('end', () => socket.destroySoon());
      const timer = setTimeout(() => socket.destroy(), lingerMs).unref();
      socket.once('close', () => clearTimeout(timer));
    },
  };
}

/** What ended a conversation that waited for something. */
export function cutOff(
  heard: Exclude<Heard, { kind: 'bytes' | 'quiet' }>,
  wire: Pick<Wire, 'received'>,
  attempt: Attempt,
  waitedFor: string,
): Failure {
  const silent = wire.received() === 0 && attempt.timings.wait === null;
  if (heard.kind === 'broken') return heard.failure;
  if (heard.kind === 'gone')
    return failure(
      silent || heard.reset ? (silent ? 'request.reset' : 'body.reset') : 'expect.response',
      `the connection ${heard.how} before ${waitedFor} came`,
    );
  if (heard.why === 'stopped') return interrupted(heard.why, 'transfer', attempt);
  return failure(
    silent ? 'wait.timeout' : 'body.timeout',
    `${waitedFor} did not come within ${attempt.timeoutMs} ms`,
  );
}
