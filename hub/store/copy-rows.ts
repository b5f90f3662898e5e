/**
 * Rows in PostgreSQL's binary COPY form, written one after the other into one buffer that grows. What a value is
 * comes first in its name; null is written for null.
 */
export interface CopyRows {
  /** Begins a row of so many values, which must follow. */
  row(values: number): void;
  bool(value: boolean): void;
  int2(value: number | null): void;
  int4(value: number | null): void;
  int8(value: number | null): void;
  /** An int8 past 2^53, such as a digest. */
  bigint(value: bigint | null): void;
  /** From epoch microseconds. */
  timestamptz(value: number): void;
  /** Throws for a NUL character, which PostgreSQL's text cannot hold. */
  text(value: string | null): void;
  /** JSON text. */
  jsonb(value: string | null): void;
  /** The whole, once: header, rows, trailer. */
  end(): Buffer;
}

/** 'PGCOPY\n\377\r\n\0', no flags, no extension. */
const signature = Buffer.from('5047434f50590aff0d0a000000000000000000', 'hex');
/** Microseconds from 1970 to 2000, where PostgreSQL's clock starts. */
const postgresEpochUs = 946_684_800_000_000;
/** The longest of a value without text. */
const fixedBytes = 16;

export function copyRows(expectedBytes: number): CopyRows {
  let buffer = Buffer.allocUnsafe(Math.max(1024, expectedBytes));
  let at = signature.copy(buffer);

  function room(bytes: number): void {
    if (at + bytes <= buffer.length) return;
    const larger = Buffer.allocUnsafe(Math.max(buffer.length * 2, at + bytes));
    buffer.copy(larger, 0, 0, at);
    buffer = larger;
  }

  function int32(value: number): void {
    at = buffer.writeInt32BE(value, at);
  }

  /** Two 32-bit halves: writeBigInt64BE would make a BigInt a value. */
  function int64(value: number): void {
    if (!Number.isSafeInteger(value)) throw new RangeError(`not a safe integer: ${value}`);
    room(fixedBytes);
    int32(8);
    const high = Math.floor(value / 0x1_0000_0000);
    int32(high);
    at = buffer.writeUInt32BE(value - high * 0x1_0000_0000, at);
  }

  function nothing(): void {
    room(fixedBytes);
    int32(-1);
  }

  function string(value: string, version: number | null): void {
    if (value.includes('\0')) throw new RangeError('a text with a NUL character');
    room(fixedBytes + value.length * 3);
    const lengthAt = at;
    at += 4;
    if (version !== null) at = buffer.writeUInt8(version, at);
    at += buffer.write(value, at, 'utf8');
    buffer.writeInt32BE(at - lengthAt - 4, lengthAt);
  }

  return {
    row(values) {
      room(fixedBytes);
      at = buffer.writeInt16BE(values, at);
    },
    bool(value) {
      room(fixedBytes);
      int32(1);
      at = buffer.writeUInt8(value ? 1 : 0, at);
    },
    int2(value) {
      if (value === null) return nothing();
      room(fixedBytes);
      int32(2);
      at = buffer.writeInt16BE(value, at);
    },
    int4(value) {
      if (value === null) return nothing();
      room(fixedBytes);
      int32(4);
      int32(value);
    },
    int8(value) {
      if (value === null) nothing();
      else int64(value);
    },
    bigint(value) {
      if (value === null) return nothing();
      room(fixedBytes);
      int32(8);
      at = buffer.writeBigInt64BE(value, at);
    },
    timestamptz: (value) => int64(value - postgresEpochUs),
    text(value) {
      if (value === null) nothing();
      else string(value, null);
    },
    jsonb(value) {
      if (value === null) nothing();
      else string(value, 1);
    },
    end() {
      room(fixedBytes);
      at = buffer.writeInt16BE(-1, at);
      return buffer.subarray(0, at);
    },
  };
}
