import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type RowField, rowMac, rowMacHolds } from '../../../hub/trust/row-mac.ts';

const key = randomBytes(32);
const field = fc.oneof(fc.string(), fc.integer(), fc.constant(null));
const row = fc.array(field, { maxLength: 6 });

describe('row MAC', () => {
  test('holds for the same row only', () => {
    fc.assert(
      fc.property(row, row, (a, b) => {
        const same = JSON.stringify(a) === JSON.stringify(b);
        expect(rowMacHolds(key, 'probe', a, rowMac(key, 'probe', a))).toBe(true);
        expect(rowMacHolds(key, 'probe', b, rowMac(key, 'probe', a))).toBe(same);
      }),
    );
  });

  const rows: [a: RowField[], b: RowField[]][] = [
    [
      ['ab', 'c'],
      ['a', 'bc'],
    ],
    [[1], ['1']],
    [[null], ['']],
    [[], [null]],
    [['a'], ['a', null]],
    [['\0'], ['']],
  ];
  test.each(rows)('%j and %j are different rows', (a, b) => {
    expect(rowMacHolds(key, 'probe', b, rowMac(key, 'probe', a))).toBe(false);
  });

  test('another kind, another key, a cut or changed MAC do not hold', () => {
    const mac = rowMac(key, 'probe', ['a']);
    expect(rowMacHolds(key, 'probe', ['a'], mac)).toBe(true);
    expect(rowMacHolds(key, 'endpoint', ['a'], mac)).toBe(false);
    expect(rowMacHolds(randomBytes(32), 'probe', ['a'], mac)).toBe(false);
    expect(rowMacHolds(key, 'probe', ['a'], mac.subarray(0, 31))).toBe(false);
    expect(rowMacHolds(key, 'probe', ['a'], Buffer.alloc(0))).toBe(false);
    mac[31] = (mac[31] ?? 0) ^ 1;
    expect(rowMacHolds(key, 'probe', ['a'], mac)).toBe(false);
  });

  test('what has no row form throws', () => {
    expect(() => rowMac(key, 'probe', [Number.NaN])).toThrow(RangeError);
    expect(() => rowMac(randomBytes(16), 'probe', [])).toThrow('16 bytes');
  });
});
