import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { acceptsGzip } from '../../../hub/web/assets.ts';
import { wordsOf } from '../../../hub/web/failure-words.ts';
import { bareMs, bytes, few, listed, shortSpan, span, withUnit } from '../../../hub/web/figures.ts';
import { inRegionOrder } from '../../../hub/web/region-order.ts';
import { type Glance, type PageEndpoint, rowOf } from '../../../hub/web/row.ts';
import { hrefOf, inMatrixOrder, rowsPerPage, select, selectionOf } from '../../../hub/web/selection.ts';
import { addToSpark, emptySpark, sparkPaths, sparkSlots } from '../../../hub/web/spark.ts';
import {
  type LatestResult,
  stateOf,
  type View,
  type ViewState,
  viewOf,
  viewStates,
} from '../../../hub/web/view.ts';
import { failureCodes } from '../../../shared/failure.ts';

const now = 1_800_000_000;
const latest = (over: Partial<LatestResult> = {}): LatestResult => ({
  at: now - 1,
  rev: 1,
  outcome: 0,
  suspect: false,
  status: 200,
  totalUs: 41_200,
  code: null,
  message: null,
  ...over,
});

describe('a view', () => {
  const minute = 60_000;
  const cases: [
    what: string,
    checked: boolean,
    result: LatestResult | undefined,
    intervalMs: number,
    state: ViewState,
    text: string,
  ][] = [
    ['up shows its figure', true, latest(), minute, 'up', '41'],
    ['a second and more with its unit', true, latest({ totalUs: 1_240_000 }), minute, 'up', '1.24 s'],
    ['never seen', true, undefined, minute, 'unknown', 'no view'],
    ['not checked from here', false, latest(), minute, 'off', ''],
    [
      'refused',
      true,
      latest({ outcome: 2, code: 'connect.refused', status: null }),
      minute,
      'down',
      'refused',
    ],
    ['a status', true, latest({ outcome: 2, code: 'expect.status', status: 503 }), minute, 'down', '503'],
    ['slow, without a code', true, latest({ outcome: 1, totalUs: 2_500_000 }), minute, 'degraded', '2.50 s'],
    ['a certificate', true, latest({ outcome: 1, code: 'expect.cert' }), minute, 'degraded', 'cert ends'],
    ['skipped is not seen', true, latest({ outcome: 3, code: 'policy.robots' }), minute, 'unknown', 'robots'],
    ['an outcome of tomorrow', true, latest({ outcome: 9 }), minute, 'unknown', 'skipped'],
    [
      'a code of tomorrow',
      true,
      latest({ outcome: 2, code: 'quic.stateless_reset' }),
      minute,
      'down',
      'stateless_',
    ],
    ['just fresh: three intervals', true, latest({ at: now - 180 }), minute, 'up', '41'],
    ['no more', true, latest({ at: now - 180.1 }), minute, 'unknown', 'no view'],
    ['30 s at least', true, latest({ at: now - 29 }), 1000, 'up', '41'],
    ['and no more than that', true, latest({ at: now - 30.1 }), 1000, 'unknown', 'no view'],
    [
      'old and down is not seen either',
      true,
      latest({ at: now - 999, outcome: 2 }),
      minute,
      'unknown',
      'no view',
    ],
    ['the future is fresh', true, latest({ at: now + 5 }), minute, 'up', '41'],
  ];
  test.each(cases)('%s', (_, checked, result, intervalMs, state, text) => {
    expect(viewOf(checked, result, intervalMs, now)).toMatchObject({ state, text });
    expect(stateOf(checked, result, intervalMs, now)).toBe(state);
  });

  test('every failure has a word that fits a cell', () => {
    for (const code of failureCodes) {
      const { word, says } = wordsOf(code, null);
      expect(word.length, code).toBeLessThanOrEqual(10);
      expect(says, code).toMatch(/^[^A-Z].*[^.]$/);
    }
  });
});

const regions = ['a', 'b', 'c', 'd'].map((name, index) => ({ id: index + 1, name }));
const endpoint: PageEndpoint = {
  id: 1,
  name: 'shop',
  url: 'https://shop.example/',
  team: 'web',
  tags: ['team:web'],
  intervalMs: 60_000,
  enabled: true,
  regions: null,
};
const view = (state: ViewState, says = ''): View => ({
  state,
  text: state,
  says,
  code: says ? 'x.y' : null,
  message: null,
  suspect: false,
  at: state === 'off' ? null : now,
});
const rowOfStates = (letters: string, over: Partial<PageEndpoint> = {}) =>
  rowOf(
    { ...endpoint, ...over },
    [...letters].map((letter) => {
      const state =
        viewStates.find((each) => each[0] === letter && letter !== 'u') ??
        (letter === 'u' ? 'up' : 'unknown');
      return view(state, state === 'down' || state === 'degraded' ? `it is ${state}` : '');
    }),
    regions,
  );

describe('a row', () => {
  // u up, d down (degraded is spelt out below), n not seen, o off
  test.each([
    ['uuuu', 'up', 'up', true],
    ['uuun', 'up', 'up from 3 of 4', true],
    ['uuoo', 'up', 'up', true],
    ['dddd', 'down', 'down', true],
    ['dddn', 'down', 'down from 3 of 4', true],
    ['uddo', 'down', 'down from 2 of 3', false],
    ['nnnn', 'unknown', 'no view', true],
    ['nnoo', 'unknown', 'no view', true],
    ['oooo', 'off', 'not checked', false],
  ])('%s is %s: "%s"', (letters, state, word, agreed) => {
    expect(rowOfStates(letters)).toMatchObject({ state, word, agreed });
  });

  test('says which regions have which trouble, the widest first', () => {
    const views = [view('down', 'x fails'), view('down', 'y fails'), view('up'), view('down', 'y fails')];
    expect(rowOf(endpoint, views, regions).why.map(({ text }) => text)).toEqual([
      'b and d: y fails',
      'a: x fails',
    ]);
    const alike = [view('down', 'y fails'), view('down', 'y fails'), view('unknown', 'z'), view('off')];
    expect(rowOf(endpoint, alike, regions).why.map(({ text }) => text)).toEqual(['Y fails']);
  });

  test('is up only where somebody sees it up and nobody sees it otherwise', () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom(...viewStates), { minLength: 0, maxLength: 4 }), (states) => {
        const row = rowOf(
          endpoint,
          states.map((state) => view(state)),
          regions,
        );
        const up = states.includes('up') && !states.includes('down') && !states.includes('degraded');
        expect(row.state === 'up').toBe(up);
        expect(row.word.startsWith('up')).toBe(up);
      }),
    );
  });
});

describe('what is selected', () => {
  const arbitraryRow = fc
    .record({
      letters: fc.constantFrom('uuuu', 'dddd', 'nnnn', 'uddo', 'oooo'),
      team: fc.constantFrom('', 'web', 'data'),
      name: fc.string({ minLength: 1, maxLength: 8 }),
    })
    .map(({ letters, team, name }) => rowOfStates(letters, { team, name }));

  const noCodes = () => [];

  test('every row that matches stands on exactly one page', () => {
    fc.assert(
      fc.property(
        fc.array(arbitraryRow, { minLength: 0, maxLength: 350 }),
        fc.option(fc.constantFrom(...viewStates)),
        (unordered, state) => {
          const rows = inMatrixOrder(unordered);
          const page = (at: number) => select(rows, { find: '', state, page: at }, noCodes);
          const { pages, matching, counts } = page(1);
          const shown = Array.from({ length: pages }, (_, index) => page(index + 1)).flatMap(({ groups }) =>
            groups.flatMap((group) => group.rows),
          );
          expect(shown).toEqual(rows.filter((row) => !state || row.state === state));
          expect(shown.length).toBe(matching);
          expect(Object.values(counts).reduce((sum, count) => sum + count, 0)).toBe(rows.length);
          expect(page(1).groups.flatMap((group) => group.rows).length).toBeLessThanOrEqual(rowsPerPage);
        },
      ),
      { numRuns: 50 },
    );
  });

  test('a page past the end is the last', () => {
    expect(select([rowOfStates('uuuu')], { find: '', state: null, page: 99 }, noCodes)).toMatchObject({
      page: 1,
      matching: 1,
    });
  });

  test.each([
    ['', { find: '', state: null, page: 1 }, '/'],
    ['find=a+b&state=down&page=3', { find: 'a b', state: 'down', page: 3 }, '/?find=a+b&state=down&page=3'],
    ['state=regional&page=-1', { find: '', state: null, page: 1 }, '/'],
    ['page=1e9', { find: '', state: null, page: 1e9 }, '/?page=1000000000'],
    ['page=NaN', { find: '', state: null, page: 1 }, '/'],
    ['find=%20%20', { find: '', state: null, page: 1 }, '/'],
  ] as const)('?%s', (query, selection, href) => {
    expect(selectionOf(new URLSearchParams(query))).toEqual(selection);
    expect(hrefOf(selection)).toBe(href);
  });

  test('words must all be held: by name, address, tag, state or code', () => {
    const rows = [rowOfStates('dddd'), rowOfStates('uuuu', { name: 'Search', tags: ['team:web', 'tier:1'] })];
    const codesOf = (row: Glance) =>
      rows.find((one) => one === row)?.views.flatMap(({ code }) => code ?? []) ?? [];
    const found = (find: string) => select(rows, { find, state: null, page: 1 }, codesOf).found;
    expect(['shop', 'SEARCH', 'tier:1 web', 'x.y', 'down', 'shop.example', 'shop up'].map(found)).toEqual([
      2, 1, 1, 1, 1, 2, 1,
    ]);
  });
});

describe('a spark', () => {
  const all = () => true;
  const fill = (slots: readonly number[], outcome = 0) => {
    const spark = emptySpark();
    for (const slot of slots) {
      for (const region of [1, 2, 3])
        addToSpark(spark, slot, region, { totalUs: region * 10_000 + slot, outcome });
    }
    return spark;
  };

  test('nothing yet draws nothing', () => {
    expect(sparkPaths(emptySpark(), 1000, all)).toEqual({ line: '', bad: '', gap: '', label: 'nothing yet' });
  });

  test('a slot that runs is not drawn before all regions of the one before have come', () => {
    const spark = fill([998, 999]);
    addToSpark(spark, 1000, 3, { totalUs: 900_000, outcome: 0 });
    const half = sparkPaths(spark, 1000, all).line;
    addToSpark(spark, 1000, 1, { totalUs: 1000, outcome: 0 });
    addToSpark(spark, 1000, 2, { totalUs: 1000, outcome: 0 });
    expect(half.match(/[ML]/g)).toHaveLength(2);
    expect(sparkPaths(spark, 1000, all).line.match(/[ML]/g)).toHaveLength(3);
  });

  test('what failed hangs below the line, deeper where more saw it; what was not seen is a gap', () => {
    const spark = fill([996, 997, 1000]);
    addToSpark(spark, 997, 1, { totalUs: 0, outcome: 2 });
    for (const region of [1, 2, 3]) addToSpark(spark, 998, region, { totalUs: 0, outcome: 2 });
    const { bad, gap, label } = sparkPaths(spark, 1000, all);
    expect(bad).toBe('M36 20h1v2.3h-1zM37 20h1v4h-1z');
    expect(gap).toBe('M38.1 19.5h.6');
    expect(label).toContain('failures in 2');
  });

  test('a region that the operator may not see is not drawn', () => {
    expect(sparkPaths(fill([999, 1000], 2), 1000, () => false)).toMatchObject({ line: '', bad: '' });
  });

  test('stays bounded, and every number is one', () => {
    const spark = emptySpark();
    for (let slot = 0; slot < 10_000; slot += 1)
      addToSpark(spark, slot, 1, { totalUs: 0, outcome: slot % 4 });
    expect(spark.slots.size).toBeLessThanOrEqual(2 * sparkSlots);
    const { line, bad, gap } = sparkPaths(spark, 9999, all);
    expect(line + bad + gap).not.toMatch(/NaN|Infinity/);
  });
});

describe('figures', () => {
  test.each([
    [0, '0.0', '0.0 ms'],
    [8400, '8.4', '8.4 ms'],
    [9999, '10.0', '10.0 ms'],
    [41_200, '41', '41 ms'],
    [999_400, '999', '999 ms'],
    [1_240_000, '1.24 s', '1.24 s'],
    [2_147_483_647, '2147 s', '2147 s'],
  ])('%i us', (us, bare, unit) => {
    expect([bareMs(us), withUnit(us)]).toEqual([bare, unit]);
  });
  test.each([
    [-3, '0 s', '0s'],
    [59.9, '59 s', '59s'],
    [60, '1 min', '1m'],
    [3600, '1 h', '1h'],
    [86_400 * 40, '40 d', '40d'],
  ])('%d s', (seconds, long, short) => {
    expect([span(seconds), shortSpan(seconds)]).toEqual([long, short]);
  });
  test('counts, lists and sizes', () => {
    expect([few(1, 'probe'), few(1312, 'probe')]).toEqual(['1 probe', '1,312 probes']);
    expect([listed(['a']), listed(['a', 'b']), listed(['a', 'b', 'c', 'd', 'e'])]).toEqual([
      'a',
      'a and b',
      'a, b, c and 2 more',
    ]);
    expect([bytes(0), bytes(1536), bytes(50 * 1024 ** 2), bytes(3 * 1024 ** 3)]).toEqual([
      '0 B',
      '1.5 KiB',
      '50 MiB',
      '3.0 GiB',
    ]);
  });
  test('regions stand by name, their numbers as numbers', () => {
    expect(inRegionOrder(['r-10', 'r-9', 'eu'].map((name) => ({ name }))).map(({ name }) => name)).toEqual([
      'eu',
      'r-9',
      'r-10',
    ]);
  });
  test.each([
    [undefined, false],
    ['', false],
    ['gzip', true],
    ['br, gzip;q=0.5', true],
    ['gzip;q=0', false],
    ['gzip; q=0.000', false],
    ['x-gzip', false],
    ['identity', false],
  ])('accept-encoding: %s', (header, accepts) => {
    expect(acceptsGzip(header)).toBe(accepts);
  });
});
