import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { formatBytes, formatDuration, parseBytes, parseDuration } from '../../shared/duration.ts';
import {
  clipUtf8,
  failure,
  failureCodes,
  failureTable,
  isFailureCode,
  maxMessageBytes,
  outcomeOf,
} from '../../shared/failure.ts';
import { patternProblem, patternSchema } from '../../shared/pattern.ts';

describe('durations and sizes', () => {
  test.each([
    ['250ms', 250],
    ['30s', 30_000],
    ['1.5m', 90_000],
    ['1h', 3_600_000],
    ['1d', 86_400_000],
    ['0s', 0],
    ['', null],
    ['30', null],
    ['-1s', null],
    ['1.0001ms', null],
    ['1e3s', null],
    ['1 s', null],
    ['1w', null],
  ])('%j is %j ms', (text, ms) => expect(parseDuration(text)).toBe(ms));

  test('what is written is read back, for any number', () => {
    const amount = fc.integer({ min: 0, max: 2 ** 45 });
    fc.assert(fc.property(amount, (ms) => parseDuration(formatDuration(ms)) === ms));
    fc.assert(fc.property(amount, (bytes) => parseBytes(formatBytes(bytes)) === bytes));
  });

  test.each([
    ['1MiB', 1_048_576],
    ['64KiB', 65_536],
    ['2 kB', 2000],
    ['512B', 512],
    ['1', null],
    ['1GiB', 1_073_741_824],
    ['1TiB', null],
    ['0.3B', null],
  ])('%j is %j bytes', (text, bytes) => expect(parseBytes(text)).toBe(bytes));
});

describe('failures', () => {
  test('every code is stage.reason, and what is skipped comes from the probe alone', () => {
    for (const code of failureCodes) {
      expect(code).toMatch(/^[a-z]+\.[a-z_]+$/);
      const { outcome, source } = failureTable[code];
      expect(outcome === 'skipped').toBe(source === 'probe');
      expect(outcome === 'skipped').toBe(/^(policy|probe)\./.test(code));
      expect(outcomeOf(code)).toBe(outcome);
    }
    expect(failureCodes).toHaveLength(50);
    for (const word of ['constructor', 'toString', '', 'expect']) expect(isFailureCode(word)).toBe(false);
  });

  test('a message is well-formed and has at most 200 bytes, whatever is said', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 400 }), (text) => {
        const { message } = failure('connect.refused', text);
        expect(Buffer.byteLength(message)).toBeLessThanOrEqual(maxMessageBytes);
        expect(message.isWellFormed()).toBe(true);
        expect(text.toWellFormed().startsWith(message)).toBe(true);
      }),
    );
  });

  test('no character is split', () => {
    expect(clipUtf8('😀😀', 7)).toBe('😀');
    expect(clipUtf8('äö', 3)).toBe('ä');
    expect(clipUtf8('\ud83d', 10)).toBe('\ufffd');
  });
});

describe('patterns', () => {
  // A user's own: lookahead at both ends.
  const greedy =
    '(?=^.*you.*welcome)(?!.forbidden).\\b(?:[a-zA-Z]{3,6}\\s?){2,4}\\b ... \\s(?:at|on)\\s[0-9]{2}:[0-9]{2}(?=\\s(?:AM|PM)$)';

  test('lookaround is refused by position, with the form that does the same', () => {
    expect(patternProblem({ pattern: greedy, engine: 're2' })).toBe(
      "lookaround '(?=' at position 0 cannot be matched in linear time: put what must be there in `matches` and what must not in `notMatches`, or write {pattern, engine: ecmascript}",
    );
    expect(patternProblem({ pattern: '[(?=]\\((?!b)', engine: 're2' })).toContain("'(?!' at position 7");
    expect(patternProblem({ pattern: 'a(?<!b)', engine: 're2' })).toContain("'(?<!' at position 1");
    expect(patternProblem({ pattern: greedy, engine: 'ecmascript' })).toBeNull();
  });

  test.each([
    '[(?=]',
    '[]a(?=]',
    '[[:alpha:](?=]',
    '\\Qa(?=\\E',
    '\\(?=a',
    'a\\\\b',
    '(?i)shop',
    '\\p{Greek}+',
    '(?P<name>x)',
    '(?:a|b)*?',
  ])('%j is RE2', (pattern) => expect(patternProblem({ pattern, engine: 're2' })).toBeNull());

  test.each(['(', '[a', 'a**', '(?P<n', '\\1', '(?<name>x)\\k<name>', 'x{1001}'])(
    '%j is not RE2',
    (pattern) => expect(patternProblem({ pattern, engine: 're2' })).not.toBeNull(),
  );

  test('the short form is read and written back', () => {
    expect(patternSchema.parse('^ok$')).toEqual({ pattern: '^ok$', engine: 're2' });
    expect(patternSchema.encode({ pattern: '^ok$', engine: 're2' })).toBe('^ok$');
    expect(patternSchema.encode({ pattern: 'a(?=b)', engine: 'ecmascript' })).toEqual({
      pattern: 'a(?=b)',
      engine: 'ecmascript',
    });
    expect(patternSchema.safeParse({ pattern: 'a', engine: 'pcre' }).success).toBe(false);
    expect(patternSchema.safeParse('x'.repeat(5000)).success).toBe(false);
  });
});
