import { expect, test } from 'vitest';
import type { WrittenRound } from './plan.ts';
import { shrink } from './shrink.ts';

/** `a+b c` is a round of two faults, and a round of one. */
function rounds(text: string): WrittenRound[] {
  return text
    .split(' ')
    .map((names, index) => ({ at: index + 1, faults: names.split('+'), holdMs: 1, apartMs: 1 }));
}

function told(some: readonly WrittenRound[]): string {
  return some.map(({ at, faults }) => `${at}:${faults.join('+')}`).join(' ');
}

/** Violates as soon as these faults are all there, in whatever rounds. */
function oracle(...guilty: string[]) {
  const asked: string[] = [];
  const violates = async (some: readonly WrittenRound[]) => {
    asked.push(told(some));
    const all = some.flatMap(({ faults }) => faults);
    return guilty.every((name) => all.includes(name));
  };
  return { asked, violates };
}

test.each([
  ['the last round alone', 'a b c', ['c'], '3:c', 1],
  ['one fault of a pair', 'a b c+d', ['c'], '3:c', 3],
  ['the pair', 'a b c+d', ['c', 'd'], '3:c+d', 3],
  ['an earlier round and the last', 'a b c d', ['b', 'd'], '2:b 4:d', 6],
  ['an earlier round alone', 'a b c d', ['c'], '3:c', 3],
])('%s', async (_, all, guilty, least, runs) => {
  const { violates } = oracle(...guilty);
  const shrunk = await shrink(rounds(all), violates, 50);
  expect([told(shrunk.rounds), shrunk.reproduced, shrunk.runs]).toEqual([least, true, runs]);
});

test('what is not seen again stays as it was', async () => {
  const { violates, asked } = oracle('x');
  const shrunk = await shrink(rounds('a b c'), violates, 50);
  expect([told(shrunk.rounds), shrunk.reproduced]).toEqual(['1:a 2:b 3:c', false]);
  expect(asked).toEqual(['3:c', '2:b 3:c', '1:a 2:b 3:c']);
});

test('it ends after so many runs, with the least it has seen', async () => {
  const { violates, asked } = oracle('a', 'd');
  const shrunk = await shrink(rounds('a+x b c d+y'), violates, 4);
  expect(asked).toHaveLength(4);
  expect([shrunk.reproduced, shrunk.runs]).toEqual([true, 4]);
});
