import { expect, test } from 'vitest';
import type { Seating } from '../../../hub/ingest/kafka-seats.ts';
import { createPlaces } from '../../../hub/ingest/places.ts';
import { pastEnd, topicAnew } from '../../../hub/ingest/seat.ts';
import { surelySeats } from '../../../hub/ingest/surely-seats.ts';

test('a handler of the generation before moves no place of the one now', () => {
  const places = createPlaces();
  const before = places.begin();
  places.set(before, 0, 5);
  const now = places.begin();
  expect(places.at(0)).toBeUndefined();
  places.set(before, 0, 9);
  places.set(before, 7, 1);
  expect(places.offsets()).toEqual([]);
  places.set(now, 0, 3);
  places.sawEnd(0, 10);
  places.sawEnd(1, 10);
  expect(places.lags()).toEqual([{ partition: 0, lag: 7 }]);
});

const seating: Seating = { clusterId: 'here', topic: 't', topicId: null, ends: [], seats: [] };
const never = new AbortController().signal;

test('an end that is short for a moment, as a new leader tells it, is asked for again', async () => {
  let asked = 0;
  const read = async () => {
    asked += 1;
    if (asked === 1) throw pastEnd('t', 0, 9, 7);
    return seating;
  };
  expect(await surelySeats(read, 5000, never)).toBe(seating);
  expect(asked).toBe(2);
});

test('one that stays short is believed after the patience, another topic at once, and a stop ends the wait', async () => {
  const short = async () => {
    throw pastEnd('t', 0, 9, 7);
  };
  const beganMs = performance.now();
  await expect(surelySeats(short, 600, never)).rejects.toMatchObject({ code: 'kafka.past_end' });
  expect(performance.now() - beganMs).toBeGreaterThan(590);
  const other = async () => {
    throw topicAnew('t');
  };
  const againMs = performance.now();
  await expect(surelySeats(other, 60_000, never)).rejects.toMatchObject({ code: 'kafka.topic_anew' });
  await expect(surelySeats(short, 60_000, AbortSignal.timeout(100))).rejects.toThrow();
  expect(performance.now() - againMs).toBeLessThan(5000);
});
