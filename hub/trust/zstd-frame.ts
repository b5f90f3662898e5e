/**
 * A zstd frame with `tail` behind what it holds, still one frame: Node's own decompressor stops at a frame's end and
 * gives no more than the first of two. The blocks are taken over as they are, the tail is a raw block (RFC 8878
 * sections 3.1.1.1 and 3.1.1.2). `size`: of what the frame holds; at most 4 GiB with the tail, and the tail 128 KiB.
 * Throws RangeError for what is not one whole frame without dictionary.
 */
export function appendToFrame(frame: Uint8Array, size: number, tail: Uint8Array): Uint8Array {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  const begin = headerLength(view);
  const last = lastBlock(view, begin);
  const end = last + blockHeaderBytes + storedLength(view, last);
  const made = new Uint8Array(headBytes + (end - begin) + blockHeaderBytes + tail.length);
  const out = new DataView(made.buffer);
  out.setUint32(0, magic, true);
  out.setUint8(4, sizeIn4Bytes | singleSegment);
  out.setUint32(5, size + tail.length, true);
  made.set(frame.subarray(begin, end), headBytes);
  const lastAt = headBytes + last - begin;
  made[lastAt] = (made[lastAt] ?? 0) & ~lastBit;
  const tailAt = headBytes + end - begin;
  writeBlockHeader(out, tailAt, (tail.length << 3) | lastBit);
  made.set(tail, tailAt + blockHeaderBytes);
  return made;
}

const magic = 0xfd2fb528;
const headBytes = 9;
const sizeIn4Bytes = 0x80;
const singleSegment = 0x20;
const blockHeaderBytes = 3;
const lastBit = 1;
const runLength = 1;
const reserved = 3;

function headerLength(view: DataView): number {
  if (view.byteLength < 6 || view.getUint32(0, true) !== magic) throw new RangeError('not a zstd frame');
  const descriptor = view.getUint8(4);
  if ((descriptor & 0b11) !== 0) throw new RangeError('a zstd frame with a dictionary');
  const single = (descriptor & singleSegment) !== 0;
  const sizeBytes = [single ? 1 : 0, 2, 4, 8][descriptor >> 6] ?? 0;
  return 5 + (single ? 0 : 1) + sizeBytes;
}

function lastBlock(view: DataView, begin: number): number {
  for (let at = begin; at + blockHeaderBytes <= view.byteLength; ) {
    const next = at + blockHeaderBytes + storedLength(view, at);
    if (next > view.byteLength) break;
    if ((view.getUint8(at) & lastBit) !== 0) return at;
    at = next;
  }
  throw new RangeError('a zstd frame that is not whole');
}

/** Bytes behind a block's header: one for a run, whatever its length. */
function storedLength(view: DataView, at: number): number {
  const header = view.getUint16(at, true) | (view.getUint8(at + 2) << 16);
  const type = (header >> 1) & 0b11;
  if (type === reserved) throw new RangeError('a zstd block of no known type');
  return type === runLength ? 1 : header >> 3;
}

function writeBlockHeader(view: DataView, at: number, header: number): void {
  view.setUint16(at, header & 0xffff, true);
  view.setUint8(at + 2, header >> 16);
}
