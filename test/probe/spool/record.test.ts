import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { readAround } from '../../../probe/spool/read-spoilt.ts';
import { encodeRecord, scanRecords } from '../../../probe/spool/record.ts';

const salt = 12_345;
const record = fc.record({
  type: fc.integer({ min: 0, max: 255 }),
  payload: fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
});
const records = fc.array(record, { minLength: 1, maxLength: 8 });
const encodeAll = (all: readonly { type: number; payload: Buffer }[]) =>
  all.map(({ type, payload }) => encodeRecord(type, payload, salt));

describe('the records of a segment', () => {
  test('come back as they were written', () => {
    fc.assert(
      fc.property(records, (written) => {
        const bytes = Buffer.concat(encodeAll(written));
        const scan = scanRecords(bytes, salt);
        expect(scan).toEqual({ records: written, damaged: 0, goodEnd: bytes.length, torn: false });
      }),
    );
  });

  test('read up to the last whole one, wherever the end is cut off', () => {
    fc.assert(
      fc.property(records, fc.nat(), (written, seed) => {
        const encoded = encodeAll(written);
        const bytes = Buffer.concat(encoded);
        const cut = seed % (bytes.length + 1);
        const scan = scanRecords(bytes.subarray(0, cut), salt);
        let end = 0;
        const whole = encoded.filter((one) => {
          end += one.length;
          return end <= cut;
        });
        expect(scan.records).toEqual(written.slice(0, whole.length));
        expect(scan.goodEnd).toBe(whole.reduce((sum, one) => sum + one.length, 0));
        expect(scan.torn).toBe(scan.goodEnd < cut);
        expect(scan.damaged).toBe(0);
      }),
    );
  });

  test('any bit that changed spoils its own record, is noticed, and leaves the others', () => {
    fc.assert(
      fc.property(records, fc.nat(), fc.integer({ min: 0, max: 7 }), (written, seed, bit) => {
        const encoded = encodeAll(written);
        const bytes = Buffer.concat(encoded);
        const at = seed % bytes.length;
        bytes.writeUInt8(bytes.readUInt8(at) ^ (1 << bit), at);
        let end = 0;
        const spoilt = encoded.findIndex((one) => {
          end += one.length;
          return at < end;
        });
        const scan = scanRecords(bytes, salt);
        expect(scan.records).toEqual(written.filter((_, index) => index !== spoilt));
        const last = spoilt === written.length - 1;
        expect([scan.damaged, scan.torn]).toEqual(last ? [0, true] : [1, false]);
      }),
      { numRuns: 500 },
    );
  });

  test('no bytes at all make it fail', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 2000 }), (bytes) => {
        expect(scanRecords(Buffer.from(bytes), salt).records).toEqual([]);
      }),
    );
  });

  test('a record inside the payload of a spoilt one is not taken for one without the salt', () => {
    const forged = encodeRecord(1, Buffer.from('forged'), 0);
    const bytes = Buffer.concat([encodeRecord(1, forged, salt), encodeRecord(1, Buffer.from('good'), salt)]);
    bytes.writeUInt8(0, 0);
    const scan = scanRecords(bytes, salt);
    expect(scan.records.map(({ payload }) => payload.toString())).toEqual(['good']);
    expect(scan.damaged).toBe(1);
  });

  test('around a sector that cannot be read are what they were', async () => {
    const records = Array.from({ length: 40 }, (_, n) => encodeRecord(1, Buffer.alloc(1000, n + 1), 7));
    const file = Buffer.concat(records);
    const bytes = await readAround(file.length, async (into, at, length) => {
      if (at === 8192) throw Object.assign(new Error('EIO: i/o error, read'), { code: 'EIO' });
      file.copy(into, at, at, at + length);
    });
    const scan = scanRecords(bytes, 7);
    const kept = scan.records.map(({ payload }) => payload[0]);
    // 1012 bytes each: the third 4 KiB hold the end of one, three, and the begin of another.
    expect(kept).toEqual(Array.from({ length: 40 }, (_, n) => n + 1).filter((n) => n < 9 || n > 13));
    expect(scan).toMatchObject({ damaged: 1, torn: false });
    const refused = async () => {
      throw Object.assign(new Error('no'), { code: 'EACCES' });
    };
    await expect(readAround(10, refused)).rejects.toThrow('no');
  });
});
