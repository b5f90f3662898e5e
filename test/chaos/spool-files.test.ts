import { crc32 } from 'node:zlib';
import { expect, test } from 'vitest';
import { encodeRecord } from '../../probe/spool/record.ts';
import { isSpoilt, type Place, seenToBeGone } from './faults/spool-files.ts';

const path = 's/journal-00000002';
const record = (text: string) => encodeRecord(1, Buffer.from(text), crc32('s/journal-2'));
const three = Buffer.concat(['one', 'two', 'three'].map(record));

test.each<[string, Buffer, boolean]>([
  ['whole', three, false],
  ['cut within a record', three.subarray(0, three.length - 2), true],
  ['cut between two records', three.subarray(0, record('one').length), false],
  ['with a bit turned', Buffer.from(three).fill(0, 13, 14), true],
  ['empty', Buffer.alloc(0), false],
])('a file that is %s', (_, bytes, spoilt) => {
  expect(isSpoilt(path, bytes)).toBe(spoilt);
});

test('a loss shows where something later stands in the same log, and not at its end', () => {
  const at = (log: string, number: number): Place[] => [{ path: `${log}-1`, log, at: number }];
  const before = new Map([
    ['inside', at('s/journal', 4)],
    ['at the end', at('s/journal', 9)],
    ['of a log that is gone', at('s/sealed', 1)],
    ['kept', at('s/journal', 6)],
  ]);
  const after = new Map([['kept', at('s/journal', 6)]]);
  const gone = new Set(['inside', 'at the end', 'of a log that is gone']);
  expect([...seenToBeGone(gone, before, after, true)]).toEqual(['inside']);
  expect([...seenToBeGone(gone, before, after, false)]).toEqual([]);
});
