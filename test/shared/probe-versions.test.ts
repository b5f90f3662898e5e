import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { batchSchemas, commonBatchSchema, currentBatchSchema } from '../../shared/batch-schema.ts';
import { compareVersions } from '../../shared/probe-versions.ts';

describe('versions', () => {
  // SemVer 2.0.0, section 11.
  const inOrder = [
    'no version',
    '0.0.9',
    '0.1.0-alpha',
    '0.1.0-alpha.1',
    '0.1.0-alpha.beta',
    '0.1.0-beta.2',
    '0.1.0-beta.11',
    '0.1.0-rc.1',
    '0.1.0',
    '0.1.10',
    '0.9.0',
    '0.10.0',
    '1.0.0',
    '10.0.0',
  ];

  test('are compared by precedence', () => {
    const shuffled = fc.shuffledSubarray(inOrder, { minLength: inOrder.length });
    fc.assert(
      fc.property(shuffled, (list) => {
        expect(list.toSorted(compareVersions)).toEqual(inOrder);
      }),
    );
  });

  test.each([
    ['1.2.3', '1.2.3+build.7'],
    ['v1.2.3', '1.2.3'],
    ['', 'latest'],
  ])('%j is as new as %j', (a, b) => {
    expect([compareVersions(a, b), compareVersions(b, a)]).toEqual([0, 0]);
  });
});

describe('the batch schema that both sides know', () => {
  test.each<[number[] | undefined, number]>([
    [undefined, 1],
    [[], 1],
    [[1], 1],
    [[1, 2], 2],
    [[2, 1, 99], 2],
    [[1, 2, 3], 3],
    [[99], 1],
    [Object.keys(batchSchemas).map(Number), currentBatchSchema],
  ])('a hub reads %j: %i', (read, common) => expect(commonBatchSchema(read)).toBe(common));
});
