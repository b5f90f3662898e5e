import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import fc from 'fast-check';
import { RE2JS } from 're2js';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { Checker } from '../../../probe/checks/check.ts';
import { literalOf } from '../../../probe/checks/literal.ts';
import { createPatternLanes, type PatternLanes, patternLimits } from '../../../probe/checks/pattern-lanes.ts';
import type { PatternWork } from '../../../probe/checks/pattern-worker.ts';
import { httpExpectSchema } from '../../../shared/endpoint-http.ts';
import { failure } from '../../../shared/failure.ts';
import { type Pattern, patternProblem } from '../../../shared/pattern.ts';
import { assignmentOf, startChecker } from './scene.ts';
import { type RawServer, says, startRawServer, whole } from './servers.ts';

const why = failure('expect.body', 'not as it should be');
const re2 = (pattern: string): Pattern => ({ pattern, engine: 're2' });
const ecmascript = (pattern: string): Pattern => ({ pattern, engine: 'ecmascript' });
const holds = (pattern: Pattern, text: string, wanted = true): PatternWork => ({
  tests: [{ texts: [text], pattern, wanted, failure: why }],
  body: null,
});

/** 720 ms of RE2JS on 64 KiB: the hardest that was found. */
const hardest = '(?:(?:a|b){0,40}a){0,10}c$';
let seed = 1;
const random = () => {
  seed = (seed * 1_103_515_245 + 12_345) & 0x7fffffff;
  return seed / 0x7fffffff;
};
const longBody = `c ${Array.from({ length: 65_536 }, () => (random() < 0.5 ? 'a' : 'b')).join('')}`;

let lanes: PatternLanes;
afterEach(() => lanes?.close());

describe('the threads for patterns', () => {
  test.each<[Pattern, string, boolean]>([
    [re2('f.x'), 'the fox', true],
    [re2('^f.x'), 'the fox', false],
    [re2('(?i)FOX$'), 'the fox', true],
    [re2('\\p{Lu}ö'), 'Mörder Hölle', true],
    [ecmascript('(?<=the )fox'), 'the fox', true],
    [ecmascript('fox(?!$)'), 'the fox', false],
  ])('%j in %j: %s', async (pattern, text, found) => {
    lanes = createPatternLanes();
    expect(await lanes.run(holds(pattern, text, true))).toEqual(found ? null : why);
    expect(await lanes.run(holds(pattern, text, false))).toEqual(found ? why : null);
  });

  test('several texts and patterns are told apart', async () => {
    lanes = createPatternLanes();
    const named = (code: string) => failure('expect.header', code);
    const run = (...patterns: [string, boolean][]) =>
      lanes.run({
        body: null,
        tests: patterns.map(([pattern, wanted], at) => ({
          texts: ['one 1', 'two 2'],
          pattern: re2(pattern),
          wanted,
          failure: named(String(at)),
        })),
      });
    expect(await run(['o.e', true], ['t.o', true], ['th.', false])).toBeNull();
    expect(await run(['o.e', true], ['th.', true], ['t.o', false])).toEqual(named('1'));
    expect(await run(['o.e', true], ['t.o', false])).toEqual(named('1'));
  });

  test.each<[string, object, string, string | undefined]>([
    ['plain text', { matches: ['needle'] }, 'x'.repeat(100_000), 'expect.body'],
    ['plain text', { matches: ['needle'] }, `${'x'.repeat(100_000)}needle`, undefined],
    [
      'a pattern',
      { matches: ['x$'], notMatches: [{ pattern: 'y(?=y)', engine: 'ecmascript' }] },
      'x'.repeat(9),
      undefined,
    ],
    ['a pattern', { notMatches: ['x$'] }, 'x', 'expect.body'],
    [
      'JSON',
      { json: [{ path: '$.a', matches: '^b' }] },
      `{"x":"${'x'.repeat(100_000)}","a":"bc"}`,
      undefined,
    ],
    ['JSON', { json: [{ path: '$.a', matches: '^c' }] }, '{"a":"bc"}', 'expect.json'],
    ['JSON', { json: [{ path: '$.a', exists: true }] }, 'x'.repeat(100_000), 'expect.json'],
  ])('a body is judged whole: %s %j', async (_, { json = [], ...body }: { json?: object }, text, code) => {
    lanes = createPatternLanes();
    const expected = httpExpectSchema.parse({ body, json });
    const work = { tests: [], body: { expect: { ...expected.body, json: expected.json }, text } };
    expect((await lanes.run(work))?.code).toBe(code);
  });

  test.each([re2(hardest), ecmascript('^(a+)+$')])(
    '%j that runs wild is killed at its cap',
    async (pattern) => {
      lanes = createPatternLanes({ ...patternLimits, runMs: 100 });
      const text = pattern.engine === 're2' ? longBody : `${'a'.repeat(40)}!`;
      const began = performance.now();
      const found = await lanes.run(holds(pattern, text));
      expect(found).toMatchObject({ code: 'probe.saturated', source: 'probe' });
      expect(performance.now() - began).toBeLessThan(600);
      // The next one has a fresh thread; its start is part of its time.
      await lanes.close();
      lanes = createPatternLanes();
      expect(await lanes.run(holds({ ...pattern, pattern: 'f.x' }, 'fox'))).toBeNull();
    },
  );

  test('after a kill the same lane goes on', async () => {
    lanes = createPatternLanes({ ...patternLimits, runMs: 500 });
    const [wild, tame] = await Promise.all([
      lanes.run(holds(ecmascript('^(a+)+$'), `${'a'.repeat(40)}!`)),
      lanes.run(holds(ecmascript('f.x'), 'fox')),
    ]);
    expect([wild?.code, tame]).toEqual(['probe.saturated', null]);
  });

  test('an ECMAScript pattern that runs wild makes no RE2 pattern wait', async () => {
    lanes = createPatternLanes({ ...patternLimits, runMs: 2000 });
    await lanes.run(holds(re2('f.x'), 'fox'));
    let wildEnded = false;
    const wild = lanes.run(holds(ecmascript('^(a+)+$'), `${'a'.repeat(40)}!`)).then(() => {
      wildEnded = true;
    });
    expect(await lanes.run(holds(re2('f.x'), 'fox'))).toBeNull();
    expect(wildEnded).toBe(false);
    await lanes.close();
    await wild;
  });

  test('what waits is bounded in number, size and time', async () => {
    lanes = createPatternLanes({ runMs: 300, waitMs: 50, waitingMost: 2, waitingCharsMost: 100_000 });
    const running = lanes.run(holds(ecmascript('^(a+)+$'), `${'a'.repeat(40)}!`));
    const waiting = [lanes.run(holds(ecmascript('a.'), 'ab')), lanes.run(holds(ecmascript('a.'), 'ab'))];
    const began = performance.now();
    expect((await lanes.run(holds(ecmascript('a.'), 'ab')))?.message).toMatch(/too many/);
    expect((await lanes.run(holds(ecmascript('a.'), 'x'.repeat(200_000))))?.message).toMatch(/too many/);
    expect(performance.now() - began).toBeLessThan(40);
    for (const each of await Promise.all(waiting)) expect(each?.message).toMatch(/within 50 ms/);
    expect((await running)?.code).toBe('probe.saturated');
  });

  test('closing answers whoever waits', async () => {
    lanes = createPatternLanes();
    const all = [1, 2, 3].map(() => lanes.run(holds(ecmascript('^(a+)+$'), `${'a'.repeat(40)}!`)));
    await lanes.close();
    for (const each of await Promise.all(all)) expect(each?.code).toBe('probe.internal');
    expect((await lanes.run(holds(re2('a.'), 'ab')))?.code).toBe('probe.internal');
  });
});

describe('literals', () => {
  test.each<[string, string | null]>([
    ['fox', 'fox'],
    ['', ''],
    ['a b/c:d-e,f', 'a b/c:d-e,f'],
    ['1\\.2\\.3', '1.2.3'],
    ['\\[ok\\]', '[ok]'],
    ['a\\\\b', 'a\\b'],
    ['a.b', null],
    ['a\\d', null],
    ['a\\n', null],
    ['(a)', null],
    ['a|b', null],
    ['^a', null],
    ['a\\', null],
  ])('%j is %j', (pattern, literal) => expect(literalOf(re2(pattern))).toBe(literal));

  test('a literal finds what its engine finds', () => {
    const piece = fc.constantFrom(
      'a',
      'b',
      '.',
      '\\.',
      '\\[',
      '-',
      '/',
      ' ',
      '$',
      '\\$',
      '(',
      '\\(',
      'ä',
      '\\\\',
    );
    const pattern = fc.array(piece, { maxLength: 6 }).map((pieces) => pieces.join(''));
    const text = fc.string({
      unit: fc.constantFrom('a', 'b', '.', '[', '-', '/', ' ', '$', '(', 'ä', '\\'),
      maxLength: 20,
    });
    fc.assert(
      fc.property(pattern, text, (each, body) => {
        const literal = literalOf(re2(each));
        if (literal === null) return;
        expect(body.includes(literal)).toBe(RE2JS.compile(each).test(body));
        expect(body.includes(literal)).toBe(new RegExp(each, 'u').test(body));
      }),
      { numRuns: 2000 },
    );
  });
});

describe('a pattern as its user wrote it, with lookaround', () => {
  const pattern =
    '(?=^.*you.*welcome)(?!.forbidden).\\b(?:[a-zA-Z]{3,6}\\s?){2,4}\\b ... \\s(?:at|on)\\s[0-9]{2}:[0-9]{2}(?=\\s(?:AM|PM)$)';

  test('is refused by position, with what to write in its place', () => {
    expect(patternProblem(re2(pattern))).toBe(
      "lookaround '(?=' at position 0 cannot be matched in linear time: put what must be there in `matches` and " +
        'what must not in `notMatches`, or write {pattern, engine: ecmascript}',
    );
    expect(patternProblem(ecmascript(pattern))).toBeNull();
  });

  test.each([
    [' you welcome and  at 12:30 PM', true],
    [' you welcome and  at 12:30', false],
    [' one welcome and  at 12:30 PM', false],
    [' forbidden you welcome and  at 12:30 PM', false],
  ])('and works with engine ecmascript: %j', async (text, found) => {
    lanes = createPatternLanes();
    expect(await lanes.run(holds(ecmascript(pattern), text))).toEqual(found ? null : why);
  });
});

describe('long bodies against the hardest pattern', () => {
  let site: RawServer;
  beforeAll(async () => {
    const long = whole(longBody);
    site = await startRawServer((socket, { path }) =>
      says(path === '/long' ? long : whole('hi'))(socket, {} as never),
    );
  });
  afterAll(() => site.close());

  const bodies = 5000;
  const aSecond = 500;
  const windows = 10;

  /**
   * Checks `bodies` long pages at an even pace, and in between small ones. Tells the median time of those (ms) in the
   * quietest of ten spans: other processes of the machine come and go, the threads of this one work in all of them.
   */
  async function load(checker: Checker, pattern: string) {
    const long = assignmentOf(`http://127.0.0.1:${site.port}/long`, {
      timeoutMs: 10_000,
      expect: { body: { matches: [pattern] } },
    });
    const small = assignmentOf(`http://127.0.0.1:${site.port}/`);
    const codes: Record<string, number> = {};
    const times: number[][] = Array.from({ length: windows }, () => []);
    const running: Promise<void>[] = [];
    const signal = new AbortController().signal;
    const began = performance.now();
    for (let at = 0; at < bodies; ) {
      // A machine that falls behind is not made to catch up at once: that burst would be what is measured.
      const due = Math.min(bodies, at + 20, ((performance.now() - began) / 1000) * aSecond);
      for (; at < due; at += 1) {
        running.push(
          checker.check(long, signal).then(({ failure }) => {
            const code = failure?.code ?? 'up';
            codes[code] = (codes[code] ?? 0) + 1;
          }),
        );
      }
      const { timings } = await checker.check(small, signal);
      times[Math.floor(((at - 1) / bodies) * windows)]?.push(timings.total / 1000);
    }
    await Promise.all(running);
    const medians = times
      .filter(({ length }) => length > 20)
      .map((span) => span.toSorted((a, b) => a - b)[span.length >> 1] ?? Number.POSITIVE_INFINITY);
    return { codes, medianMs: Math.min(...medians), measured: times.flat().length };
  }

  test('5,000 of them do not move what is measured', { timeout: 120_000 }, async () => {
    const checker = await startChecker();
    await load(checker, 'plain');
    const calm = await load(checker, 'plain');
    const busy = await load(checker, hardest);
    await checker.close();
    console.info('literal', calm, 'hardest', busy);
    expect(calm.codes).toEqual({ 'expect.body': bodies });
    expect(Object.values(busy.codes).reduce((sum, each) => sum + each, 0)).toBe(bodies);
    expect(busy.codes['probe.saturated']).toBeGreaterThan(bodies / 2);
    expect(busy.measured).toBeGreaterThan(100);
    expect(busy.medianMs).toBeLessThan(1.5 * calm.medianMs + 2);
  });
});

test('the thread starts from the bundle, where everything is one file', { timeout: 60_000 }, async () => {
  const site = await startRawServer(says(whole('the fox')));
  const outdir = await mkdtemp(join(tmpdir(), 'parallax-pattern-'));
  const root = fileURLToPath(new URL('../../../', import.meta.url));
  const run = promisify(execFile);
  await run(process.execPath, [join(root, 'deploy/build.mjs'), '--quiet', '--outdir', outdir]);
  const spec = join(outdir, 'spec.json');
  const expectBody = { body: { matches: ['f.x$', { pattern: '(?<=the )fox', engine: 'ecmascript' }] } };
  await writeFile(
    spec,
    JSON.stringify({
      endpoints: [{ name: 'fox', url: `http://127.0.0.1:${site.port}/`, expect: expectBody }],
    }),
  );
  const main = `import { run } from './probe.js';
    const terminal = { out: (text) => process.stdout.write(text), err: (text) => process.stderr.write(text), columns: null, colour: false };
    const context = { env: {}, cwd: '.', terminal, signal: new AbortController().signal };
    process.exitCode = await run(['check', '--spec', ${JSON.stringify(spec)}, '--allow-network', '127.0.0.0/8', '--json'], context);`;
  await writeFile(join(outdir, 'main.mjs'), main);
  const { stdout } = await run(process.execPath, [join(outdir, 'main.mjs')]);
  expect(JSON.parse(stdout)).toMatchObject({ name: 'fox', outcome: 'up', failure: null });
  await site.close();
  await rm(outdir, { recursive: true });
});
