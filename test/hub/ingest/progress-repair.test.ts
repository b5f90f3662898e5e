import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { isBroken, planRepair, type RepairLine } from '../../../hub/ingest/progress-repair.ts';
import { type LogEnds, type LogTopic, seatsOf } from '../../../hub/ingest/seat.ts';
import type { KnownProgress } from '../../../hub/store/seat-progress.ts';

const topic = 'dev.parallax.results.v1';
const log: LogTopic = { clusterId: 'here', topic, topicId: 'aa' };
const end = (partition: number, low: number, high: number): LogEnds => ({ partition, low, high });
const at = (partition: number, nextOffset: number, over: Partial<KnownProgress> = {}): KnownProgress => ({
  clusterId: 'here',
  topic,
  partition,
  nextOffset,
  topicId: 'aa',
  ...over,
});

const inShort = (lines: readonly RepairLine[]) =>
  lines.map(({ partition, found, todo }) =>
    [partition, found, todo.what, ...(todo.what === 'read' ? [todo.to] : [])].join(' '),
  );

describe('what a repair would do', () => {
  const cases: [
    name: string,
    log: LogTopic,
    ends: readonly LogEnds[],
    progress: readonly KnownProgress[],
    lines: readonly string[],
  ][] = [
    ['a new log is read by itself', log, [end(0, 0, 9)], [], ['0 not read yet nothing']],
    ['nothing is wrong', log, [end(0, 3, 9)], [at(0, 5)], ['0 good nothing']],
    [
      'brokers tell of partitions in any order',
      log,
      [end(2, 0, 9), end(10, 0, 9), end(1, 0, 9)],
      [],
      ['1 not read yet nothing', '2 not read yet nothing', '10 not read yet nothing'],
    ],
    [
      'at both ends',
      log,
      [end(0, 3, 9), end(1, 3, 9)],
      [at(0, 3), at(1, 9)],
      ['0 good nothing', '1 good nothing'],
    ],
    ['retention went past it', log, [end(0, 3, 9)], [at(0, 2)], ['0 retention passed it nothing']],
    [
      'one partition lost its end',
      log,
      [end(0, 3, 9), end(1, 2, 4)],
      [at(0, 5), at(1, 7)],
      ['0 good nothing', '1 past the end read 2'],
    ],
    [
      'another topic of the same name, though it has grown past our place',
      log,
      [end(0, 0, 90), end(1, 0, 1)],
      [at(0, 5, { topicId: 'bb' }), at(1, 7, { topicId: 'bb' })],
      ['0 another topic read 0', '1 another topic read 0'],
    ],
    [
      'perhaps another topic, where there are no ids: all of it',
      { ...log, topicId: null },
      [end(0, 0, 90), end(1, 0, 1)],
      [at(0, 5, { topicId: null }), at(1, 7, { topicId: null })],
      ['0 another topic read 0', '1 past the end read 0'],
    ],
    [
      'another topic with fewer partitions',
      log,
      [end(0, 0, 2)],
      [at(0, 1, { topicId: 'bb' }), at(1, 7, { topicId: 'bb' })],
      ['0 another topic read 0', '1 no such partition forget'],
    ],
    [
      'another cluster',
      log,
      [end(0, 4, 9)],
      [at(0, 5, { clusterId: 'there', topicId: 'bb' })],
      ['0 another cluster read 4', '0 another cluster forget'],
    ],
    [
      'both clusters were read before: each keeps its own',
      log,
      [end(0, 4, 9)],
      [at(0, 5), at(0, 99, { clusterId: 'there', topicId: 'bb' })],
      ['0 good nothing'],
    ],
  ];
  test.each(cases)('%s', (_name, here, ends, progress, lines) => {
    expect(inShort(planRepair(here, ends, progress))).toEqual(lines);
  });
});

const id = fc.constantFrom('aa', 'bb', null);
const anyEnds = fc
  .array(fc.tuple(fc.nat(20), fc.nat(20)), { minLength: 1, maxLength: 4 })
  .map((all) => all.map(([low, more], partition) => end(partition, low, low + more)));
const anyProgress = fc.uniqueArray(
  fc
    .tuple(fc.nat(5), fc.nat(50), fc.constantFrom('here', 'there'), id)
    .map(([partition, nextOffset, clusterId, topicId]) => at(partition, nextOffset, { clusterId, topicId })),
  { selector: ({ clusterId, partition }) => `${clusterId} ${partition}`, maxLength: 8 },
);

/** kafka_progress after it. */
function repaired(lines: readonly RepairLine[], before: readonly KnownProgress[], topicId: string | null) {
  const rows = new Map(before.map((one) => [`${one.clusterId} ${one.partition}`, one]));
  for (const { clusterId, partition, todo } of lines) {
    if (todo.what === 'nothing') continue;
    rows.delete(`${clusterId} ${partition}`);
    if (todo.what === 'read') {
      rows.set(`${clusterId} ${partition}`, at(partition, todo.to, { clusterId, topicId }));
    }
  }
  return [...rows.values()];
}

test('whatever was there, after a repair it can be read, nothing more is wrong, and nothing unread is passed over', () => {
  fc.assert(
    fc.property(id, anyEnds, anyProgress, (topicId, ends, progress) => {
      const here = { ...log, topicId };
      const lines = planRepair(here, ends, progress);
      const after = repaired(lines, progress, topicId);
      const seats = seatsOf(here, ends, after);
      expect(seats).toHaveLength(ends.length);
      expect(planRepair(here, ends, after).filter(isBroken)).toEqual([]);
      for (const { partition, nextOffset } of seats) {
        const before = progress.find((one) => one.clusterId === 'here' && one.partition === partition);
        const low = ends[partition]?.low ?? 0;
        // Only what the log has no more, or what was read of this very topic.
        expect(nextOffset === low || nextOffset === before?.nextOffset).toBe(true);
      }
    }),
    { numRuns: 2000 },
  );
});

test('what is found broken is what the reader refuses, and nothing else', () => {
  fc.assert(
    fc.property(id, anyEnds, anyProgress, (topicId, ends, progress) => {
      const here = { ...log, topicId };
      let refuses = false;
      try {
        seatsOf(here, ends, progress);
      } catch {
        refuses = true;
      }
      const broken = planRepair(here, ends, progress).filter(isBroken);
      if (refuses) expect(broken).not.toEqual([]);
      // A partition that is no more is only forgotten.
      else expect(broken.filter(({ found }) => found !== 'no such partition')).toEqual([]);
    }),
    { numRuns: 2000 },
  );
});
