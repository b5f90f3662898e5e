import type { Socket } from 'node:net';
import { constants, inflateRawSync } from 'node:zlib';
import { clipUtf8, type Failure, failure } from '../../shared/failure.ts';
import type { Pattern } from '../../shared/pattern.ts';
import { type Attempt, addPhase, type Interruption, interrupted } from './attempt.ts';
import { literalOf } from './literal.ts';
import type { PatternLanes } from './pattern-lanes.ts';
import {
  closeFrame,
  createFrameReader,
  messageFrame,
  pongFrame,
  type Received,
  textOf,
} from './ws-frames.ts';

/** One step, its secrets resolved. */
export interface PlannedStep {
  readonly send: { readonly data: Buffer; readonly binary: boolean } | null;
  readonly wants: { readonly pattern: Pattern } | { readonly bytes: Buffer } | null;
}

export interface ConversationPlan {
  readonly steps: readonly PlannedStep[];
  readonly closeWith: number | null;
  /** What the server has to close with; null: whatever. */
  readonly closeCode: number | null;
  readonly maxMessageBytes: number;
}

/** What a conversation saw, whatever came of it. */
export interface Conversation {
  readonly failure: Failure | null;
  readonly messages: number;
  readonly bytes: number;
  /** When each step ended, milliseconds after the handshake. */
  readonly stepsMs: readonly number[];
  /** The server's close; null where it sent none. */
  readonly close: { readonly code: number; readonly reason: string } | null;
}

/** All that a server may send in one check, and what of it may wait unread. */
const mostBytes = 4 * 1_048_576;
const mostWaitingBytes = 1_048_576;
/** For patterns of one check altogether: the clock stands while they run. */
const mostPatternMs = 2000;
/** How long a server may take for its end of the connection; nobody waits for it. */
const lingerMs = 1000;

type Heard =
  | Received
  | { readonly kind: 'gone'; readonly how: string }
  | { readonly kind: 'interrupted'; readonly why: Interruption };

/** Runs the steps over a connection that the handshake opened, and closes it. The clock runs as `transfer`. */
export async function converse(
  socket: Socket,
  plan: ConversationPlan,
  deflate: boolean,
  attempt: Attempt,
  patterns: PatternLanes,
): Promise<Conversation> {
  let beganMs = performance.now();
  const ear = listen(socket, plan.maxMessageBytes, deflate, attempt);
  const stepsMs: number[] = [];
  let messages = 0;
  let close: Conversation['close'] = null;
  let patternMs = 0;

  /** The patterns' time is the probe's own. */
  const matches = async (pattern: Pattern, text: string): Promise<boolean | Failure> => {
    const literal = literalOf(pattern);
    if (literal !== null) return text.includes(literal);
    const goOn = attempt.pause();
    const sinceMs = performance.now();
    const test = { texts: [text], pattern, wanted: true, failure: failure('expect.response', '') };
    const why = await patterns.run({ tests: [test], body: null });
    const tookMs = performance.now() - sinceMs;
    patternMs += tookMs;
    attempt.beganMs += tookMs;
    beganMs += tookMs;
    goOn();
    if (why && why.code !== 'expect.response') return why;
    if (patternMs > mostPatternMs)
      return failure(
        'probe.saturated',
        `the patterns took more than ${mostPatternMs} ms: simpler ones would do better`,
      );
    return why === null;
  };

  const fits = async (heard: Heard & { kind: 'message' }, wants: NonNullable<PlannedStep['wants']>) => {
    const { binary, deflated, data } = heard;
    const whole = deflated ? inflated(data, plan.maxMessageBytes) : data;
    if ('code' in whole) return whole;
    if ('bytes' in wants) return binary && whole.includes(wants.bytes);
    if (binary) return false;
    // What came as it is has been looked at by the reader.
    const text = deflated ? textOf(whole) : whole.toString();
    if (text === null) return failure('protocol.invalid', 'a text message that is not UTF-8');
    return matches(wants.pattern, text);
  };

  /** What ends a conversation that waits for something else. */
  const cutOff = (heard: Exclude<Heard, { kind: 'message' | 'ping' }>, waitedFor: string): Failure => {
    switch (heard.kind) {
      case 'close':
        close = { code: heard.code, reason: clipUtf8(heard.reason, 120) };
        return failure('expect.response', `the server closed (${heard.code}) before ${waitedFor}`);
      case 'invalid':
        return failure('protocol.invalid', heard.how);
      case 'too large':
        return failure('body.too_large', `a message of more than ${plan.maxMessageBytes} bytes`);
      case 'gone':
        return failure('body.reset', `the connection ${heard.how} before ${waitedFor}`);
      case 'interrupted':
        if (heard.why === 'stopped') return interrupted(heard.why, 'transfer', attempt);
        return failure('body.timeout', `${waitedFor} did not come within ${attempt.timeoutMs} ms`);
    }
  };

  const run = async (): Promise<Failure | null> => {
    for (const [index, { send, wants }] of plan.steps.entries()) {
      if (send) socket.write(messageFrame(send.data, send.binary));
      for (let others = 0; wants; ) {
        const heard = await ear.next();
        if (heard.kind === 'ping') continue;
        if (heard.kind !== 'message') {
          const why = cutOff(heard, `the message of step ${index + 1}`);
          if (why.code !== 'body.timeout' || others === 0) return why;
          return failure(
            'expect.response',
            `step ${index + 1}: none of ${others} messages is the expected one`,
          );
        }
        messages += 1;
        const fitting = await fits(heard, wants);
        if (typeof fitting !== 'boolean') return fitting;
        if (fitting) break;
        others += 1;
      }
      stepsMs.push(Math.round((performance.now() - beganMs) * 1000) / 1000);
    }
    if (plan.closeWith === null && plan.closeCode === null) return null;
    if (plan.closeWith !== null) ear.close(plan.closeWith);
    for (;;) {
      const heard = await ear.next();
      if (heard.kind === 'message' || heard.kind === 'ping') continue;
      const why = cutOff(heard, "the server's close");
      if (heard.kind !== 'close') return why;
      if (plan.closeCode === null || plan.closeCode === heard.code) return null;
      return failure('expect.response', `the server closed with ${heard.code}, expected ${plan.closeCode}`);
    }
  };

  const why = await run();
  attempt.interrupt = null;
  addPhase(attempt, 'transfer', beganMs);
  ear.leave(why?.code === 'protocol.invalid' ? 1002 : why?.code === 'body.too_large' ? 1009 : 1000);
  return { failure: why, messages, bytes: ear.bytes(), stepsMs, close };
}

interface Ear {
  /** What comes next; pings are answered already. */
  next(): Promise<Heard>;
  /** Sends our close. */
  close(code: number): void;
  /** Ends the connection in order, which nobody waits for. */
  leave(code: number): void;
  bytes(): number;
}

function listen(socket: Socket, maxMessageBytes: number, deflate: boolean, attempt: Attempt): Ear {
  const reader = createFrameReader({ maxMessageBytes, deflate });
  const heard: Heard[] = [];
  let waiting: ((one: Heard) => void) | null = null;
  let waitingBytes = 0;
  let bytes = 0;
  let closed = false;

  const tell = (one: Heard) => {
    const listener = waiting;
    waiting = null;
    if (listener) return listener(one);
    heard.push(one);
    if (one.kind !== 'message') return;
    waitingBytes += one.data.length;
    if (waitingBytes > mostWaitingBytes) socket.pause();
  };
  const close = (code: number) => {
    if (closed) return;
    closed = true;
    socket.write(closeFrame(code));
  };
  const onData = (chunk: Buffer) => {
    bytes += chunk.length;
    for (const one of reader.push(chunk)) {
      if (one.kind === 'ping' && !closed) socket.write(pongFrame(one.data));
      // Section 5.5.1: a close is answered with its own code.
      if (one.kind === 'close') close(one.code);
      tell(one);
    }
    if (bytes > mostBytes) tell({ kind: 'too large' });
  };
  const onEnd = () => tell({ kind: 'gone', how: 'was closed without a close frame' });
  const onError = (error: NodeJS.ErrnoException) =>
    tell({
      kind: 'gone',
      how: error.code === 'ECONNRESET' || error.code === 'EPIPE' ? 'was reset' : 'broke',
    });
  attempt.interrupt = (why) => tell({ kind: 'interrupted', why });
  if (attempt.ended) tell({ kind: 'interrupted', why: attempt.ended });
  socket.on('error', onError);
  socket.once('end', onEnd);
  socket.once('close', onEnd);
  socket.on('data', onData);
  socket.resume();

  return {
    bytes: () => bytes,
    close,
    next() {
      const first = heard.shift();
      if (!first) return new Promise((resolve) => (waiting = resolve));
      if (first.kind === 'message') {
        waitingBytes -= first.data.length;
        if (waitingBytes <= mostWaitingBytes && socket.isPaused()) socket.resume();
      }
      return Promise.resolve(first);
    },
    leave(code) {
      socket.off('data', onData);
      close(code);
      socket.end();
      let rest = 0;
      socket.on('data', (chunk: Buffer) => {
        rest += chunk.length;
        if (rest > mostWaitingBytes) socket.destroy();
      });
      socket.resume();
      socket.once('end', () => socket.destroy());
      const timer = setTimeout(() => socket.destroy(), lingerMs).unref();
      socket.once('close', () => clearTimeout(timer));
    },
  };
}

/** RFC 7692, section 7.2.2. A message of 4 KiB inflates to at most its cap within 1 ms, on the event loop. */
function inflated(data: Buffer, maxBytes: number): Buffer | Failure {
  try {
    return inflateRawSync(Buffer.concat([data, Buffer.from([0, 0, 255, 255])]), {
      finishFlush: constants.Z_SYNC_FLUSH,
      maxOutputLength: maxBytes,
    });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE')
      return failure('body.too_large', `a message that inflates to more than ${maxBytes} bytes`);
    return failure('protocol.invalid', 'a message that is not what permessage-deflate makes');
  }
}
