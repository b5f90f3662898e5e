import Decoder from 'kafkajs/src/protocol/decoder.js';

/** A batch has three. */
const mostHeaders = 32;
/** Of a record batch (KIP-98), after its first offset and length. */
const at = { magic: 4, attributes: 9, lastOffsetDelta: 11, records: 45, first: 49 } as const;
const codecBits = 0x07;
/** In one record batch: a request of 900 KB holds some thousands of the smallest of ours. */
const mostRecords = 10_000;

let isBounded = false;

/**
 * Whoever may write to the topic chooses what kafkajs makes of it. It copies a message's headers anew for each of them:
 * 8,000 in 38 KB held the thread for 53 s (measured), and the same at each start. It unpacks a megabyte of gzip into a
 * gigabyte, and ends at snappy, lz4 and zstd, again and again at the same place, as at 131,000 messages of
 * nothing in one record batch. Nobody honest has many headers, or packs what is zstd already: the first come without
 * headers here, and of such a record batch two messages without anything, its first and its last. All are refused as messages without headers.
 */
export function boundDecoding(): void {
  if (isBounded) return;
  isBounded = true;
  const { readVarIntArray, slice } = Decoder.prototype;
  // Of all that kafkajs reads, headers alone are such an array; what is left of their record is not looked at.
  Decoder.prototype.readVarIntArray = function <T>(read: (decoder: Decoder) => T): T[] {
    const { offset } = this;
    const count = this.readVarInt();
    if (count > mostHeaders) return [];
    this.offset = offset;
    return readVarIntArray.call(this, read) as T[];
  };
  Decoder.prototype.slice = function (size) {
    const sliced = slice.call(this, size);
    return isOdd(this, sliced.buffer, size) ? new Decoder(emptied(sliced.buffer, size)) : sliced;
  };
}

/** Packed, or of too many: a whole record batch behind its first offset and length. Older message sets have another magic. */
function isOdd({ buffer, offset }: Decoder, body: Buffer, size: number): boolean {
  return (
    offset >= 12 &&
    body.length === size &&
    size > at.first &&
    buffer.readInt32BE(offset - 4) === size &&
    body.readInt8(at.magic) === 2 &&
    ((body.readInt16BE(at.attributes) & codecBits) !== 0 || body.readInt32BE(at.records) > mostRecords)
  );
}

/** One message at its first offset and one at its last, so that reading finds no hole before it and goes on after it. */
function emptied(body: Buffer, size: number): Buffer {
  const lastDelta = body.readInt32BE(at.lastOffsetDelta);
  const deltas = lastDelta > 0 ? [0, lastDelta] : [0];
  const records = Buffer.concat(deltas.map(emptyRecord));
  // As long as it says that it is.
  const whole = Buffer.alloc(Math.max(size, at.first + records.length));
  body.copy(whole, 0, 0, at.first);
  whole.writeInt16BE(body.readInt16BE(at.attributes) & ~codecBits, at.attributes);
  whole.writeInt32BE(deltas.length, at.records);
  records.copy(whole, at.first);
  return whole;
}

function emptyRecord(offsetDelta: number): Buffer {
  const [attributes, timestampDelta, headers, nothing] = [Buffer.from([0]), zigzag(0), zigzag(0), zigzag(-1)];
  const record = Buffer.concat([attributes, timestampDelta, zigzag(offsetDelta), nothing, nothing, headers]);
  return Buffer.concat([zigzag(record.length), record]);
}

/** A varint as in Protocol Buffers, of a number of 32 bits. */
function zigzag(value: number): Buffer {
  const bytes: number[] = [];
  let left = ((value << 1) ^ (value >> 31)) >>> 0;
  for (; left > 0x7f; left >>>= 7) bytes.push((left & 0x7f) | 0x80);
  return Buffer.from([...bytes, left]);
}
