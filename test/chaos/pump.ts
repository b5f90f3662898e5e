import type { Socket } from 'node:net';
import type { LinkMode } from './link-mode.ts';
import type { Random } from './random.ts';

/** One direction of a connection. */
export interface Pump {
  /** The mode of its link has changed. */
  wake(): void;
}

export interface PumpOptions {
  readonly from: Socket;
  readonly to: Socket;
  readonly side: 'client' | 'server';
  readonly mode: () => LinkMode;
  readonly random: Random;
  /** Changes what passes, or takes it out; null for nothing. */
  readonly change: (bytes: Buffer) => Buffer | null;
  /** Breaks the connection on both sides. */
  readonly reset: () => void;
}

/** How one side ends is a thing that travels, behind what it said before: a cable that is out tells nobody of it. */
type Passing = { bytes: Buffer | 'end' | 'reset'; readonly dueMs: number };

/** What one direction may hold back: a link has no endless buffer either. */
const maxHeld = 1024 * 1024;

/** Carries what one side says to the other, in order, at the pace of the link's mode. */
export function pump({ from, to, side, mode, random, change, reset }: PumpOptions): Pump {
  const queue: Passing[] = [];
  let held = 0;
  let waiting = false;
  let lastDueMs = 0;

  const silent = () => {
    const now = mode();
    return now.kind === 'silent' && (now.from === 'both' || now.from === side);
  };

  function put(bytes: Passing['bytes'], lateMs = 0): void {
    // In order, as TCP keeps it: what comes after waits behind what is late.
    lastDueMs = Math.max(lastDueMs, performance.now() + lateMs);
    queue.push({ bytes, dueMs: lastDueMs });
    if (Buffer.isBuffer(bytes)) held += bytes.length;
    if (held >= maxHeld) from.pause();
    flow();
  }

  function again(ms: number): void {
    waiting = true;
    setTimeout(() => {
      waiting = false;
      flow();
    }, ms).unref();
  }

  function flow(): void {
    while (!waiting) {
      const first = queue[0];
      if (!first || silent()) return;
      if (to.destroyed) {
        queue.length = 0;
        held = 0;
        from.resume();
        return;
      }
      const leftMs = first.dueMs - performance.now();
      if (leftMs > 0) {
        again(leftMs);
        return;
      }
      const now = mode();
      queue.shift();
      if (first.bytes === 'end') {
        to.end();
        continue;
      }
      if (first.bytes === 'reset') {
        to.resetAndDestroy();
        continue;
      }
      let bytes = first.bytes;
      if (now.kind === 'trickle' && bytes.length > now.bytesPerSecond) {
        queue.unshift({ bytes: bytes.subarray(now.bytesPerSecond), dueMs: first.dueMs });
        bytes = bytes.subarray(0, now.bytesPerSecond);
      }
      held -= bytes.length;
      if (held < maxHeld) from.resume();
      const more = to.write(bytes);
      if (now.kind === 'trickle') again(1000);
      if (more || waiting) continue;
      waiting = true;
      const goOn = () => {
        to.off('drain', goOn).off('close', goOn);
        waiting = false;
        flow();
      };
      to.once('drain', goOn).once('close', goOn);
    }
  }

  const delayMs = () => {
    const now = mode();
    return now.kind === 'delay' ? now.ms : 0;
  };
  from.on('data', (raw: Buffer) => {
    const bytes = change(raw);
    if (!bytes) return;
    const now = mode();
    let lateMs = delayMs();
    if (now.kind === 'loss' && random.chance(now.share)) {
      if (random.chance(0.02)) {
        reset();
        return;
      }
      lateMs = random.int(200, 1500);
    }
    put(bytes, lateMs);
  });
  from.on('end', () => put('end', delayMs()));
  from.on('close', (failed) => {
    if (failed) put('reset', delayMs());
  });
  return { wake: flow };
}
