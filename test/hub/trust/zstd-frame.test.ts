import { constants, zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { appendToFrame } from '../../../hub/trust/zstd-frame.ts';

const tail = Buffer.from(',"regionId":7,"shard":255}');

describe('a tail behind a frame', () => {
  test('is read with it, whatever it holds, at every level, with and without checksum', () => {
    const content = fc.oneof(
      fc.uint8Array({ maxLength: 2000 }),
      fc
        .tuple(fc.uint8Array({ minLength: 1, maxLength: 40 }), fc.nat(20_000))
        .map(([part, times]) => Buffer.concat(Array.from({ length: times + 1 }, () => part))),
    );
    fc.assert(
      fc.property(
        content,
        fc.constantFrom(1, 3, 19),
        fc.boolean(),
        fc.uint8Array(),
        (bytes, level, check, end) => {
          const frame = zstdCompressSync(bytes, {
            params: {
              [constants.ZSTD_c_compressionLevel]: level,
              [constants.ZSTD_c_checksumFlag]: check ? 1 : 0,
            },
          });
          const joined = appendToFrame(frame, bytes.length, end);
          expect(zstdDecompressSync(joined).equals(Buffer.concat([bytes, end]))).toBe(true);
        },
      ),
      { numRuns: 300 },
    );
  });

  test('costs its own length and a few bytes, and leaves the frame as it was', () => {
    const bytes = Buffer.from('{"endpoints":[1,2,3]}'.repeat(20_000));
    const frame = zstdCompressSync(bytes);
    const before = Buffer.from(frame);
    const joined = appendToFrame(frame, bytes.length, tail);
    expect(joined.length).toBeLessThanOrEqual(frame.length + tail.length + 7);
    expect(frame.equals(before)).toBe(true);
  });

  test('is refused where there is no whole frame', () => {
    const frame = zstdCompressSync(Buffer.from('a text that is packed'.repeat(100)));
    const cases: readonly (readonly [string, Uint8Array, RegExp])[] = [
      ['nothing', new Uint8Array(), /not a zstd frame/],
      ['text', Buffer.from('{"endpoints":[]}'), /not a zstd frame/],
      ['half a frame', frame.subarray(0, frame.length - 20), /not whole/],
      ['a dictionary', Buffer.from(frame).fill(0b11, 4, 5), /dictionary/],
    ];
    for (const [what, bytes, why] of cases) {
      expect(() => appendToFrame(bytes, 100, tail), what).toThrow(why);
    }
  });
});
