import { describe, expect, test } from 'vitest';
import { createVersionWatch } from '../../../probe/watch/version-watch.ts';

const terms = { batchSchemas: [1], newest: '1.4.0', oldest: '1.2.0', refusedFrom: 1_800_000_000 };

function watch(version: string) {
  const said: [string, unknown, string][] = [];
  let ms = 0;
  const log = {
    info: (about: unknown, text: string) => void said.push(['info', about, text]),
    error: (about: unknown, text: string) => void said.push(['error', about, text]),
  };
  const made = createVersionWatch(version, log as never, () => ms);
  return { ...made, said, pass: (hours: number) => (ms += hours * 3_600_000) };
}

describe('a probe and the versions that its hub takes', () => {
  test('too old: said at once and then once a day, with the day from which it is refused', () => {
    const old = watch('1.1.9');
    old.take(terms);
    old.take(terms);
    old.pass(23);
    old.take(terms);
    expect(old.said).toEqual([
      [
        'error',
        { version: '1.1.9', oldest: '1.2.0', newest: '1.4.0', until: new Date(1_800_000_000_000) },
        'this probe is too old for its hub, which refuses it from then on: update it',
      ],
    ]);
    old.pass(1);
    old.take(terms);
    expect(old.said).toHaveLength(2);
    expect([old.refusedFrom(), old.isBehind()]).toEqual([1_800_000_000, true]);
  });

  test('not the newest: said once', () => {
    const behind = watch('1.2.0');
    for (let turn = 0; turn < 3; turn += 1) behind.take(terms);
    expect(behind.said).toMatchObject([
      [
        'info',
        { version: '1.2.0', newest: '1.4.0' },
        'the hub is of a newer version: this probe can be updated',
      ],
    ]);
    expect([behind.refusedFrom(), behind.isBehind()]).toEqual([null, true]);
  });

  test.each(['1.4.0', '2.0.0'])('%s is new enough', (version) => {
    const good = watch(version);
    good.take(terms);
    expect([good.said, good.refusedFrom(), good.isBehind()]).toEqual([[], null, false]);
  });

  test('a hub that says nothing', () => {
    const first = watch('0.1.0');
    first.take(undefined);
    expect([first.said, first.refusedFrom(), first.isBehind()]).toEqual([[], null, false]);
  });
});
