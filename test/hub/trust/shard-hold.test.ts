import { expect, test } from 'vitest';
import { holdShards, holdUs, readShardsNote, type ShardsNote } from '../../../hub/trust/shard-hold.ts';

const s = 1_000_000;
const nowUs = 1_800_000_000 * s;
const note = (tendedAgo: number, heldFor = 0): ShardsNote => ({
  tendedUs: nowUs - tendedAgo * s,
  heldUntilUs: heldFor === 0 ? 0 : nowUs + heldFor * s,
});

test.each<[string, ShardsNote | null, number | null, number]>([
  ['a hub that never was before', null, null, 0],
  ['a hub that never was before, with a probe', null, nowUs - s, 0],
  ['all is well', note(1), nowUs - 8 * s, 0],
  ['a hub that was away for 11 s', note(11), nowUs - s, 30],
  ['a hub that was away for 10 minutes', note(600), nowUs - 605 * s, 30],
  ['a quick restart', note(9), nowUs - 12 * s, 0],
  ['no probe was heard for 16 s', note(1), nowUs - 16 * s, 30],
  ['one probe is heard, others are not: they are gone', note(1), nowUs - 14 * s, 0],
  ['there are no probes', note(1), null, 0],
  ['a hold goes on', note(1, 12), nowUs - s, 12],
  ['a hold begins anew when the hub was away again', note(20, 12), nowUs - s, 30],
  ['a clock that was ahead holds no longer than 30 s', note(-3600, 3700), nowUs - s, 30],
])('%s', (_, before, newestSeenUs, heldSeconds) => {
  const { tendedUs, heldUntilUs } = holdShards(before, nowUs, newestSeenUs);
  expect(tendedUs).toBe(nowUs);
  expect(Math.max(0, heldUntilUs - nowUs) / s).toBe(heldSeconds);
  expect(heldUntilUs).toBeLessThanOrEqual(nowUs + holdUs);
});

test('what is no note of ours is none', () => {
  expect(readShardsNote(note(1))).toEqual(note(1));
  for (const value of [null, 'x', {}, { tendedUs: 'x', heldUntilUs: 1 }])
    expect(readShardsNote(value)).toBeNull();
});
