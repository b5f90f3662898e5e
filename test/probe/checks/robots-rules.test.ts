import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseRobots } from '../../../probe/checks/robots-rules.ts';

const allows = (text: string, path: string) => parseRobots(text, 'Parallax').allows(path);

describe('robots.txt', () => {
  test.each<[what: string, text: string, path: string, expected: boolean]>([
    ['nothing said', '', '/a', true],
    ['everybody', 'User-agent: *\nDisallow: /', '/a', false],
    ['somebody else', 'User-agent: Googlebot\nDisallow: /', '/a', true],
    [
      'its own group alone counts',
      'User-agent: *\nDisallow: /a\nUser-agent: parallax\nDisallow: /b',
      '/a',
      true,
    ],
    [
      'an own group that says nothing',
      'User-agent: *\nDisallow: /\n\nUser-agent: Parallax\nDisallow:',
      '/a',
      true,
    ],
    ['a name with a version', 'USER-AGENT: Parallax/1.0\nDISALLOW: /', '/a', false],
    [
      'several names over one group',
      'User-agent: a\nUser-agent: Parallax\nUser-agent: b\nDisallow: /',
      '/a',
      false,
    ],
    [
      'a group in two parts',
      'User-agent: Parallax\nDisallow: /a\nUser-agent: x\nUser-agent: Parallax\nDisallow: /b',
      '/a',
      false,
    ],
    ['rules before any name', 'Disallow: /\nUser-agent: *\nDisallow: /b', '/a', true],
    ['a rule ends the names', 'User-agent: Parallax\nAllow: /c\nUser-agent: x\nDisallow: /', '/a', true],
    [
      'other fields between names',
      'User-agent: Parallax\nCrawl-delay: 1\nUser-agent: x\nDisallow: /',
      '/a',
      false,
    ],
    ['CR alone, and comments', 'User-agent: * # all\rDisallow: /a # this\rAllow: /', '/a/x', false],
    ['a byte order mark', '\ufeffUser-agent: *\nDisallow: /', '/a', false],
    ['the longest wins', 'User-agent: *\nDisallow: /a\nAllow: /a/b', '/a/b/c', true],
    ['of two as long the one that allows', 'User-agent: *\nDisallow: /a\nAllow: /a', '/a', true],
    ['an end', 'User-agent: *\nDisallow: /*.php$', '/x.php?y', true],
    ['an end that is there', 'User-agent: *\nDisallow: /*.php$', '/x.php.php', false],
    ['a whole path', 'User-agent: *\nDisallow: /a$', '/ab', true],
    ['pieces do not overlap', 'User-agent: *\nDisallow: /ab*b$', '/ab', true],
    ['the query counts', 'User-agent: *\nDisallow: /*?secret', '/a?secret=1', false],
    ['percent encoding in either case', 'User-agent: *\nDisallow: /%e4b', '/%E4b', false],
    ['written without it', 'User-agent: *\nDisallow: /ä', '/%C3%A4', false],
  ])('%s', (_, text, path, expected) => {
    expect(allows(text, path)).toBe(expected);
  });

  test('a pattern matches what the same regular expression does', () => {
    const pattern = fc.stringMatching(/^\/[ab*]{0,8}\$?$/);
    const path = fc.stringMatching(/^\/[ab]{0,10}$/);
    fc.assert(
      fc.property(pattern, path, (written, asked) => {
        const whole = written.endsWith('$');
        const source = written.replace(/\$$/, '').replaceAll('*', '.*');
        const expected = new RegExp(`^${source}${whole ? '$' : ''}`).test(asked);
        expect(allows(`User-agent: *\nDisallow: ${written}`, asked)).toBe(!expected);
      }),
      { numRuns: 2000 },
    );
  });

  const agents = Array.from({ length: 10_000 }, (_, index) => `User-agent: a${index}\n`).join('');
  test.each<[what: string, text: string]>([
    ['10,000 agents over 10,000 rules', `${agents}User-agent: *\n${'Allow: /a*b\n'.repeat(10_000)}`],
    ['the same agent 10,000 times', `${'User-agent: *\n'.repeat(10_000)}${'Allow: /a*b\n'.repeat(10_000)}`],
    ['stars without end', `User-agent: *\n${`Disallow: /${'*a'.repeat(100)}b\n`.repeat(1200)}`],
    ['one long pattern', `User-agent: *\nDisallow: ${'*a'.repeat(130_000)}b`],
    ['spaces without end', `User-agent: *\n${' '.repeat(250_000)}`],
    ['pieces that nearly fit', `User-agent: *\n${`Disallow: /*${'a'.repeat(500)}b\n`.repeat(500)}`],
  ])('a file that means harm takes neither memory nor time: %s', (_, text) => {
    const began = performance.now();
    const rules = parseRobots(text, 'Parallax');
    rules.allows(`/${'a'.repeat(60_000)}`);
    expect(performance.now() - began).toBeLessThan(250);
    expect(rules.chars).toBeLessThanOrEqual(65_536);
  });
});
