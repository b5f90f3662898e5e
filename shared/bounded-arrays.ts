import avro from 'avsc';

/** What avsc 5.7.9 reads from; its own types do not tell of it. */
interface Tap {
  readonly buf: Uint8Array;
  readonly pos: number;
  readLong(): number;
  skipLong(): void;
}
interface Reading {
  _read(tap: Tap): unknown;
}

/**
 * avsc believes an array's length and looks only at the very end whether it read past the last byte: a batch of a few
 * bytes that announced 2^40 results took all memory there was. A type made with this hook reads no array past the end,
 * nor past `mostItems`; a resolver to it neither, since it takes the array's own reading along.
 */
export function boundArrays(mostItems: number): avro.ForSchemaOptions['typeHook'] {
  class BoundedArray extends avro.types.ArrayType {
    _read(tap: Tap): unknown[] {
      const type = this.itemsType as unknown as Reading;
      const items: unknown[] = [];
      const ofLongs = this.itemsType.typeName === 'long';
      for (let count = tap.readLong(); count !== 0; count = tap.readLong()) {
        if (count < 0) tap.skipLong();
        if (ofLongs) {
          readLongs(tap, Math.abs(count), items as number[], mostItems);
          continue;
        }
        for (let left = Math.abs(count); left > 0; left -= 1) {
          if (items.length >= mostItems) throw new Error(`an array of more than ${mostItems} items`);
          items.push(type._read(tap));
          if (tap.pos > tap.buf.length) throw new Error('an array that ends after the last byte');
        }
        if (tap.pos > tap.buf.length) throw new Error('an array that ends after the last byte');
      }
      return items;
    }
  }
  return (schema, options) =>
    (schema as { type?: unknown }).type === 'array' ? new BoundedArray(schema, options) : undefined;
}

/** Columns of numbers are most of a batch. Each takes a byte at the least, so that the bytes that are left bound them. */
function readLongs(tap: Tap, count: number, items: number[], mostItems: number): void {
  if (count > mostItems - items.length) throw new Error(`an array of more than ${mostItems} items`);
  if (count > tap.buf.length - tap.pos) throw new Error('an array that ends after the last byte');
  for (let left = count; left > 0; left -= 1) items.push(tap.readLong());
  if (tap.pos > tap.buf.length) throw new Error('an array that ends after the last byte');
}
