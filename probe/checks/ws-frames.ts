import { randomBytes } from 'node:crypto';
import { gatherBody } from './body-room.ts';

/** What the frames of a server say (RFC 6455, section 5). */
export type Received =
  | { readonly kind: 'message'; readonly binary: boolean; readonly deflated: boolean; readonly data: Buffer }
  | { readonly kind: 'ping'; readonly data: Buffer }
  /** Without a code: 1005, as section 7.1.5 has it. */
  | { readonly kind: 'close'; readonly code: number; readonly reason: string }
  /** Not the protocol; in which way. Nothing comes after it. */
  | { readonly kind: 'invalid'; readonly how: string }
  /** A message beyond the cap. Nothing comes after it. */
  | { readonly kind: 'too large' };

export interface FrameReader {
  /** What these bytes complete, in order. */
  push(chunk: Buffer): Received[];
}

export interface FrameLimits {
  readonly maxMessageBytes: number;
  /** Whether permessage-deflate was agreed on: then a message may say that it is compressed. */
  readonly deflate: boolean;
}

/** Answered pings, unasked pongs and empty fragments cost a server nothing: more than these are a flood. */
const mostControlFrames = 100;
const mostFrames = 10_000;

const opcodes = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const;

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Null where the bytes are not UTF-8. */
export function textOf(bytes: Buffer): string | null {
  try {
    return utf8.decode(bytes);
  } catch {
    return null;
  }
}

/**
 * Reads a server's frames from chunks of any size, each byte looked at once. Our own reader, as none of the libraries
 * has a bound on control frames and empty fragments, and each keeps a timer and a parser of HTTP of its own.
 */
export function createFrameReader({ maxMessageBytes, deflate }: FrameLimits): FrameReader {
  const head = Buffer.alloc(10);
  let headBytes = 0;
  let frame: Frame | null = null;
  let left = 0;
  let control = gatherBody();
  let message: { readonly binary: boolean; readonly deflated: boolean } | null = null;
  let data = gatherBody();
  let dataBytes = 0;
  let frames = 0;
  let controlFrames = 0;
  let over = false;

  const end = (last: Received): Received => {
    over = true;
    return last;
  };
  const invalid = (how: string) => end({ kind: 'invalid', how });

  /** A frame's head is whole: null where its payload may be read. */
  const begin = (begun: Frame): Received | null => {
    frames += 1;
    if (frames > mostFrames) return invalid(`more than ${mostFrames} frames`);
    if (begun.opcode >= 8) {
      controlFrames += 1;
      if (controlFrames > mostControlFrames) return invalid(`more than ${mostControlFrames} control frames`);
      control = gatherBody();
      return null;
    }
    if (begun.opcode === opcodes.continuation) {
      if (!message) return invalid('a continuation of no message');
    } else {
      if (message) return invalid('a new message within a fragmented one');
      message = { binary: begun.opcode === opcodes.binary, deflated: begun.rsv1 };
      data = gatherBody();
      dataBytes = 0;
    }
    if (begun.length > maxMessageBytes - dataBytes) return end({ kind: 'too large' });
    dataBytes += begun.length;
    return null;
  };

  /** A frame's payload is whole. */
  const complete = ({ opcode, fin }: Frame): Received | null => {
    if (opcode === opcodes.ping) return { kind: 'ping', data: control.whole() };
    if (opcode === opcodes.pong) return null;
    if (opcode === opcodes.close) {
      const said = closeOf(control.whole());
      return 'how' in said ? invalid(said.how) : end({ kind: 'close', ...said });
    }
    if (!fin || !message) return null;
    const { binary, deflated } = message;
    message = null;
    const whole = data.whole();
    if (!binary && !deflated && textOf(whole) === null) return invalid('a text message that is not UTF-8');
    return { kind: 'message', binary, deflated, data: whole };
  };

  return {
    push(chunk) {
      const received: Received[] = [];
      const tell = (one: Received | null) => {
        if (one) received.push(one);
      };
      let at = 0;
      while (!over && at < chunk.length) {
        if (!frame) {
          head[headBytes] = chunk[at] ?? 0;
          headBytes += 1;
          at += 1;
          const read = readHead(head.subarray(0, headBytes), deflate);
          if (read === null) continue;
          headBytes = 0;
          if ('how' in read) {
            tell(invalid(read.how));
            break;
          }
          frame = read;
          left = read.length;
          tell(begin(read));
        }
        if (over) break;
        const taken = Math.min(left, chunk.length - at);
        if (taken > 0) (frame.opcode >= 8 ? control : data).add(chunk.subarray(at, at + taken));
        at += taken;
        left -= taken;
        if (left > 0) continue;
        const done = frame;
        frame = null;
        tell(complete(done));
      }
      return received;
    },
  };
}

interface Frame {
  readonly fin: boolean;
  readonly rsv1: boolean;
  readonly opcode: number;
  readonly length: number;
}

/** Null until the head is whole: 2, 4 or 10 bytes, as a server masks nothing (section 5.1). */
function readHead(head: Buffer, deflate: boolean): Frame | { readonly how: string } | null {
  if (head.length < 2) return null;
  const [first = 0, second = 0] = head;
  const opcode = first & 15;
  const fin = (first & 128) !== 0;
  const rsv1 = (first & 64) !== 0;
  const short = second & 127;
  if ((second & 128) !== 0) return { how: 'a masked frame from the server' };
  if (!(Object.values(opcodes) as number[]).includes(opcode))
    return { how: `a frame of the unknown kind ${opcode}` };
  if ((first & 48) !== 0 || (rsv1 && !(deflate && (opcode === opcodes.text || opcode === opcodes.binary))))
    return { how: 'reserved bits of an extension that was not agreed on' };
  if (opcode >= 8 && !fin) return { how: 'a control frame in fragments' };
  if (opcode >= 8 && short > 125) return { how: 'a control frame of more than 125 bytes' };
  if (short < 126) return { fin, rsv1, opcode, length: short };
  const width = short === 126 ? 2 : 8;
  if (head.length < 2 + width) return null;
  const length = width === 2 ? head.readUInt16BE(2) : Number(head.readBigUInt64BE(2));
  // Section 5.2: the shortest form, and the highest bit 0.
  if (length < (width === 2 ? 126 : 65_536) || length >= 2 ** 63)
    return { how: 'a length in a form that is not allowed' };
  return { fin, rsv1, opcode, length };
}

function closeOf(
  payload: Buffer,
): { readonly code: number; readonly reason: string } | { readonly how: string } {
  if (payload.length === 0) return { code: 1005, reason: '' };
  if (payload.length === 1) return { how: 'a close with half a code' };
  const code = payload.readUInt16BE(0);
  // Section 7.4: 1004 to 1006 and 1015 never stand in a frame.
  const known = code >= 1000 && code <= 1014 && !(code >= 1004 && code <= 1006);
  if (!known && !(code >= 3000 && code <= 4999))
    return { how: `a close with the code ${code}, which nobody may send` };
  const reason = textOf(payload.subarray(2));
  return reason === null ? { how: 'a close whose reason is not UTF-8' } : { code, reason };
}

/** A whole message of a client, masked as section 5.3 asks for. */
export function messageFrame(data: Buffer, binary: boolean): Buffer {
  return maskedFrame(binary ? opcodes.binary : opcodes.text, data);
}

export const pongFrame = (data: Buffer): Buffer => maskedFrame(opcodes.pong, data);

/** 1005 stands for a close without a code. */
export function closeFrame(code: number): Buffer {
  const payload = Buffer.alloc(code === 1005 ? 0 : 2);
  if (code !== 1005) payload.writeUInt16BE(code);
  return maskedFrame(opcodes.close, payload);
}

function maskedFrame(opcode: number, data: Buffer): Buffer {
  const width = data.length < 126 ? 0 : data.length < 65_536 ? 2 : 8;
  const frame = Buffer.alloc(6 + width + data.length);
  frame[0] = 128 | opcode;
  frame[1] = 128 | (width === 0 ? data.length : width === 2 ? 126 : 127);
  if (width === 2) frame.writeUInt16BE(data.length, 2);
  if (width === 8) frame.writeBigUInt64BE(BigInt(data.length), 2);
  const mask = randomBytes(4);
  mask.copy(frame, 2 + width);
  for (let at = 0; at < data.length; at += 1) {
    frame[6 + width + at] = (data[at] ?? 0) ^ (mask[at & 3] ?? 0);
  }
  return frame;
}
