import { expect, test } from 'vitest';
import { createLanes } from '../../../hub/ingest/lanes.ts';
import { until } from './until.ts';

const never = new AbortController().signal;

/** Units are `key:number`. */
function scene(keyOf: (unit: string) => number | string) {
  const begun: string[][] = [];
  const done: string[] = [];
  const releases: (() => void)[] = [];
  const lanes = createLanes<string>(2, keyOf, {
    maxSize: 2,
    maxMs: 60_000,
    sizeOf: () => 1,
    async store(group) {
      begun.push([...group]);
      await new Promise<void>((release) => releases.push(release));
      done.push(...group);
      return new Map();
    },
  });
  const add = (...units: string[]) => units.map((unit) => lanes.add(unit, never));
  return { add, begun, done, releases };
}

const numberOf = (unit: string) => Number(unit.split(':')[0]);

test('one transaction is filled and sent while another is at work', async () => {
  const { add, begun, releases } = scene(numberOf);
  const all = add('0:1', '0:2', '1:1', '1:2');
  await until(() => begun.length === 2);
  expect(begun).toEqual([
    ['0:1', '0:2'],
    ['1:1', '1:2'],
  ]);
  for (const release of releases) release();
  await Promise.all(all);
});

test('of two replicas one has all even partitions: both lanes are used', async () => {
  const { add, begun, releases } = scene(numberOf);
  const all = add('0:1', '0:2', '2:1', '2:2');
  await until(() => begun.length === 2);
  for (const release of releases) release();
  await Promise.all(all);
  expect(begun).toEqual([
    ['0:1', '0:2'],
    ['2:1', '2:2'],
  ]);
});

test('what belongs together stays in order, however long its lane is held up', async () => {
  const { add, begun, done, releases } = scene(numberOf);
  const all = add('2:1', '2:2', '3:1', '3:2', '2:3', '2:4');
  await until(() => begun.length === 2);
  // The other lane is free again and goes on; of this one nothing has begun behind what is at work.
  releases[1]?.();
  await Promise.all(all.slice(2, 4));
  const more = add('2:5', '2:6', '4:1', '4:2');
  await until(() => begun.length === 3);
  expect(begun[2]).toEqual(['4:1', '4:2']);
  releases[0]?.();
  for (let at = 2; at < 5; at += 1) {
    await until(() => releases.length > at);
    releases[at]?.();
  }
  await Promise.all([...all, ...more]);
  expect(done.filter((unit) => numberOf(unit) === 2)).toEqual(['2:1', '2:2', '2:3', '2:4', '2:5', '2:6']);
});

test('words have lanes too: the same one for the same word, and not one for all', async () => {
  const { add, begun, releases } = scene((unit) => unit.split(':')[0] ?? '');
  const words = Array.from({ length: 20 }, (_, n) => `stream-${n}`);
  const all = add(...words.flatMap((word) => [`${word}:1`, `${word}:2`]));
  await until(() => begun.length === 2);
  for (let at = 0; at < words.length; at += 1) {
    await until(() => releases.length > at);
    releases[at]?.();
  }
  await Promise.all(all);
  expect(begun.map(([first, second]) => [first, second?.replace(':2', ':1')])).toEqual(
    begun.map(([first]) => [first, first]),
  );
});
