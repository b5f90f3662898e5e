import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  addToStream,
  emptyStream,
  hasSeq,
  maxStreamRanges,
  rangesFromText,
  rangesToText,
  type SeqRange,
  type StreamState,
} from '../../../hub/ingest/streams.ts';

const range = fc
  .tuple(fc.integer({ min: 1, max: 400 }), fc.integer({ min: 0, max: 5 }))
  .map(([from, more]): SeqRange => [from, from + more]);

describe('a stream', () => {
  test('is the same set of numbers as one kept by hand, whatever comes in whatever order', () => {
    fc.assert(
      fc.property(fc.array(fc.array(range, { minLength: 1, maxLength: 3 }), { maxLength: 150 }), (steps) => {
        let state: StreamState = emptyStream;
        const model = new Set<number>();
        for (const added of steps) {
          const next = addToStream(state, added);
          if (next === null) continue;
          state = next;
          for (const [from, to] of added) for (let seq = from; seq <= to; seq += 1) model.add(seq);
          let prefix = 0;
          while (model.has(prefix + 1)) prefix += 1;
          expect(state.upTo).toBe(prefix);
          for (let seq = 1; seq <= 410; seq += 1) expect(hasSeq(state, seq)).toBe(model.has(seq));
          expect(state.ranges.length).toBeLessThanOrEqual(maxStreamRanges);
          for (const [index, [from, to]] of state.ranges.entries()) {
            expect(from).toBeLessThanOrEqual(to);
            expect(from).toBeGreaterThan((state.ranges[index - 1]?.[1] ?? state.upTo) + 1);
          }
          expect(rangesFromText(rangesToText(state.ranges))).toEqual(state.ranges);
        }
      }),
      { numRuns: 100 },
    );
  });

  test('with all its ranges used takes what closes a hole and leaves what would open one', () => {
    let state: StreamState = emptyStream;
    for (let index = 1; index <= maxStreamRanges; index += 1) {
      state = addToStream(state, [[index * 2, index * 2]]) ?? emptyStream;
    }
    expect(state.ranges).toHaveLength(maxStreamRanges);
    expect(addToStream(state, [[1000, 1000]])).toBeNull();
    expect(addToStream(state, [[129, 129]])?.ranges.at(-1)).toEqual([128, 129]);
    expect(addToStream(state, [[1, 1]])).toEqual({ upTo: 2, ranges: state.ranges.slice(1) });
  });

  test('gets everything in from a probe that sends again in order, however few arrived at first', () => {
    fc.assert(
      fc.property(fc.array(fc.boolean(), { minLength: 300, maxLength: 300 }), (arrived) => {
        let state: StreamState = emptyStream;
        for (const [index, came] of arrived.entries()) {
          if (came) state = addToStream(state, [[index + 1, index + 1]]) ?? state;
        }
        let sent = 0;
        while (state.upTo < arrived.length) {
          const seq = state.upTo + 1;
          const next = addToStream(state, [[seq, seq]]);
          expect(next).not.toBeNull();
          state = next ?? state;
          sent += 1;
          expect(sent).toBeLessThanOrEqual(arrived.length);
        }
      }),
      { numRuns: 50 },
    );
  });
});
