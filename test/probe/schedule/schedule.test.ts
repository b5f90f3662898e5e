import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  createSchedule,
  type DueSlot,
  type Schedule,
  type ShardInForce,
} from '../../../probe/schedule/schedule.ts';
import { type Assignment, assignmentSchema, type ManifestShard } from '../../../shared/assignment.ts';
import { extraSlot, nextSlot, phaseOf, shardOf, slotAt } from '../../../shared/slot.ts';

const second = 1_000_000;
const regionId = 3;
const start = 1_800_000_000 * second;

function assignment(id: number, over: Partial<Assignment> = {}): Assignment {
  const base = assignmentSchema.parse({
    id,
    rev: 1,
    name: `e${id}`,
    url: 'http://example.com/',
    intervalMs: 10_000,
    timeoutMs: 1000,
    replicas: 1,
    retries: { count: 0, delayMs: 0 },
    robots: 'ignore',
    changedAt: start - 3600 * second,
    request: {},
    expect: {},
  });
  return { ...base, ...over } as Assignment;
}

type Entry = Partial<Pick<ManifestShard, 'rank' | 'from' | 'until'>>;

/** All these endpoints' shards under the same manifest entries. */
function shards(endpoints: readonly Assignment[], entries: readonly Entry[] = [{}]): ShardInForce[] {
  return [...Map.groupBy(endpoints, ({ id }) => shardOf(id))].map(([shard, mine]) => {
    const digest = mine
      .map(({ id, rev, replicas, intervalMs }) => [id, rev, replicas, intervalMs].join())
      .join(';');
    const full = entries.map((entry) => ({ shard, digest, rank: 0, from: 0, until: null, ...entry }));
    return { shard, digest, endpoints: mine, entries: full };
  });
}

/** Looks as a timer would, at each due instant and every 100 ms. */
function runUntil(schedule: Schedule, fromUs: number, untilUs: number): DueSlot[] {
  const taken: DueSlot[] = [];
  for (let now = fromUs; now < untilUs; ) {
    taken.push(...schedule.take(now, 1000));
    now = Math.max(
      now + 1,
      Math.min(now + 100_000, schedule.nextDueUs() ?? Number.POSITIVE_INFINITY, untilUs),
    );
  }
  return taken;
}

const instants = (slots: readonly DueSlot[]) => slots.map(({ scheduledAtUs }) => scheduledAtUs);

function grid(id: number, fromUs: number, untilUs: number, intervalUs = 10 * second): number[] {
  const phase = phaseOf(id, regionId, intervalUs);
  const all: number[] = [];
  for (let slot = nextSlot(fromUs - 1, intervalUs, phase); slot < untilUs; slot += intervalUs) all.push(slot);
  return all;
}

describe('slots in order', () => {
  test('every slot of the grid, once, on its instant', () => {
    const schedule = createSchedule({ regionId, floorUs: start });
    schedule.put(shards([1, 2, 3].map((id) => assignment(id))), start);
    const taken = runUntil(schedule, start, start + 60 * second);
    for (const id of [1, 2, 3]) {
      const mine = taken.filter((slot) => slot.assignment.id === id);
      expect(instants(mine)).toEqual(grid(id, start, start + 60 * second));
      expect(mine.every(({ missed, kind }) => !missed && kind === 'slot')).toBe(true);
    }
  });

  test('only from `from` to before `until`, and only where replicas are more than the rank', () => {
    const from = start + 20 * second;
    const until = start + 50 * second;
    const schedule = createSchedule({ regionId, floorUs: start });
    const two = [assignment(1, { replicas: 1 }), assignment(2, { replicas: 2 })];
    schedule.put(shards(two, [{ rank: 1, from, until }]), start);
    const taken = runUntil(schedule, start, start + 90 * second);
    expect(new Set(taken.map((slot) => slot.assignment.id))).toEqual(new Set([2]));
    expect(instants(taken)).toEqual(grid(2, from, until));
    expect(schedule.nextDueUs()).toBeNull();
  });

  test('a shard whose rank changes at an instant misses and repeats nothing', () => {
    const turn = start + 33 * second;
    const schedule = createSchedule({ regionId, floorUs: start });
    schedule.put(
      shards(
        [assignment(1)],
        [
          { rank: 0, until: turn },
          { rank: 0, from: turn },
        ],
      ),
      start,
    );
    expect(instants(runUntil(schedule, start, start + 90 * second))).toEqual(
      grid(1, start, start + 90 * second),
    );
  });

  test('where nobody knows what ran before, everything before the first shards is done with', () => {
    const schedule = createSchedule({ regionId, floorUs: null });
    schedule.put([], start);
    const [shard] = shards([assignment(1, { changedAt: start - 5 * second })]);
    schedule.put(shard ? [shard] : [], start + 7 * second);
    const taken = runUntil(schedule, start + 7 * second, start + 40 * second);
    expect(Math.min(...instants(taken))).toBeGreaterThan(start);
    expect(instants(taken.filter(({ kind }) => kind === 'slot'))).toEqual(
      grid(1, start, start + 40 * second),
    );
  });

  test('a floor that a wrong clock set an hour ahead blinds nothing; one a little ahead holds', () => {
    const wrong = createSchedule({ regionId, floorUs: start + 3600 * second });
    wrong.put(shards([assignment(1)]), start);
    expect(instants(runUntil(wrong, start, start + 30 * second))).toEqual(
      grid(1, start, start + 30 * second).filter((at) => at > start),
    );
    const near = createSchedule({ regionId, floorUs: start + 12 * second });
    near.put(shards([assignment(1)]), start);
    expect(instants(runUntil(near, start, start + 40 * second))).toEqual(
      grid(1, start, start + 40 * second).filter((at) => at > start + 12 * second),
    );
  });

  test('the next slot is told, so that retries end before it', () => {
    const schedule = createSchedule({ regionId, floorUs: start });
    schedule.put(shards([assignment(1)]), start);
    const [first] = runUntil(schedule, start, start + 15 * second);
    expect(first?.nextUs).toBe((first?.scheduledAtUs ?? 0) + 10 * second);
  });
});

describe('changes', () => {
  test('a new endpoint is due at once, by its extra slot, and then on its grid', () => {
    const schedule = createSchedule({ regionId, floorUs: start - 60 * second });
    const changedAt = start - second;
    schedule.put(shards([assignment(1, { changedAt, intervalMs: 600_000 })]), start);
    const [extra, ...rest] = runUntil(schedule, start, start + 20 * second);
    expect(extra).toMatchObject({ kind: 'extra', missed: false });
    expect(extra?.scheduledAtUs).toBe(extraSlot(1, regionId, 1, changedAt));
    expect(rest.filter(({ kind }) => kind === 'extra')).toEqual([]);
  });

  test('its extra slot belongs to whoever has the shard at that instant', () => {
    const changedAt = start - second;
    const at = extraSlot(1, regionId, 1, changedAt);
    const one = createSchedule({ regionId, floorUs: 0 });
    const other = createSchedule({ regionId, floorUs: 0 });
    one.put(shards([assignment(1, { changedAt, intervalMs: 3_600_000 })], [{ until: at }]), start);
    other.put(shards([assignment(1, { changedAt, intervalMs: 3_600_000 })], [{ from: at }]), start);
    const extras = [one, other].map((schedule) =>
      runUntil(schedule, start, start + 20 * second).filter(({ kind }) => kind === 'extra'),
    );
    expect(extras.map((taken) => taken.length)).toEqual([0, 1]);
  });

  test('its extra slot that waits goes with its shard when a move is announced', () => {
    const changedAt = start - second;
    const at = extraSlot(1, regionId, 1, changedAt);
    const created = assignment(1, { changedAt, intervalMs: 3_600_000 });
    const extrasWith = (...entries: readonly Entry[][]) => {
      const schedule = createSchedule({ regionId, floorUs: 0 });
      for (const each of entries) schedule.put(shards([created], each), start);
      return runUntil(schedule, start, start + 20 * second).filter(({ kind }) => kind === 'extra').length;
    };
    expect(extrasWith([{}], [{ until: at }])).toBe(0);
    expect(extrasWith([{}], [{ until: at + 1 }])).toBe(1);
    expect(extrasWith([{}], [{ until: at }], [{ from: at }])).toBe(0);
  });

  test('an endpoint that is there since long gets no extra slot from a restart', () => {
    const schedule = createSchedule({ regionId, floorUs: start });
    schedule.put(shards([assignment(1, { changedAt: start - 5 * second })]), start);
    const taken = runUntil(schedule, start, start + 20 * second);
    const at = extraSlot(1, regionId, 1, start - 5 * second);
    expect(taken.filter(({ kind }) => kind === 'extra').length).toBe(at > start ? 1 : 0);
  });

  test('an endpoint that is gone is due no more', () => {
    const schedule = createSchedule({ regionId, floorUs: start });
    schedule.put(shards([assignment(1), assignment(2)]), start);
    schedule.put(shards([assignment(2)]), start + second);
    const taken = runUntil(schedule, start + second, start + 30 * second);
    expect(new Set(taken.map((slot) => slot.assignment.id))).toEqual(new Set([2]));
    expect(schedule.assignment(1)).toBeUndefined();
  });

  test('shards that go and come back (a lease that ran out) repeat nothing, and make up for the newest', () => {
    const schedule = createSchedule({ regionId, floorUs: start });
    schedule.put(shards([assignment(1)]), start);
    const before = runUntil(schedule, start, start + 35 * second);
    schedule.put([], start + 35 * second);
    schedule.put(shards([assignment(1)]), start + 36 * second);
    const after = runUntil(schedule, start + 36 * second, start + 60 * second);
    const all = instants([...before, ...after]);
    expect(new Set(all).size).toBe(all.length);
    expect(all).toEqual(grid(1, start, start + 60 * second));
  });
});

describe('a shard of a dead probe', () => {
  test('brings the newest slot that nobody ran, spread, and no older one', () => {
    const schedule = createSchedule({ regionId, floorUs: 0 });
    const ids = Array.from({ length: 500 }, (_, index) => index + 1);
    const died = start - 20 * second;
    schedule.put(
      shards(
        ids.map((id) => assignment(id, { intervalMs: 60_000 })),
        [{ from: died }],
      ),
      start,
    );
    const taken = runUntil(schedule, start, start + 5 * second);
    const late = taken.filter(({ scheduledAtUs }) => scheduledAtUs < start);
    const lost = ids.filter((id) => grid(id, died, start, 60 * second).length > 0);
    expect(late.map((slot) => slot.assignment.id).toSorted((a, b) => a - b)).toEqual(lost);
    expect(late.every(({ missed }) => !missed)).toBe(true);
    // A third of 500 endpoints, over 1.7 s.
    expect(lost.length).toBeGreaterThan(100);
    const atOnce = createSchedule({ regionId, floorUs: 0 });
    atOnce.put(
      shards(
        ids.map((id) => assignment(id, { intervalMs: 60_000 })),
        [{ from: died }],
      ),
      start,
    );
    expect(atOnce.take(start + 100_000, 1000).length).toBeLessThan(lost.length / 5);
  });

  test('makes up for no slot that would still run when the next one is due', () => {
    const interval = 10 * second;
    const phase = phaseOf(1, regionId, interval);
    const slot = slotAt(start, interval, phase);
    for (const sinceSlot of [1, 4, 7, 8.5, 9.5]) {
      const now = slot + sinceSlot * second;
      const schedule = createSchedule({ regionId, floorUs: 0 });
      schedule.put(shards([assignment(1, { timeoutMs: 3000 })], [{ from: start - 30 * second }]), now);
      const taken = runUntil(schedule, now, slot + 25 * second);
      // Made up for after a twelfth of what it is late.
      const wouldEnd = now + (sinceSlot * second) / 12 + 3 * second;
      const expected = [slot, slot + interval, slot + 2 * interval].filter(
        (at) => at > slot || wouldEnd <= slot + interval,
      );
      expect([sinceSlot, instants(taken)]).toEqual([sinceSlot, expected]);
    }
  });

  test('is not put off for ever by manifests that come quickly one after another', () => {
    const schedule = createSchedule({ regionId, floorUs: 0 });
    const taken: DueSlot[] = [];
    for (let now = start; now < start + 3 * second; now += 50_000) {
      schedule.put(shards([assignment(1)], [{ from: start - 15 * second }, { rank: 1, from: now }]), now);
      taken.push(...schedule.take(now, 100));
    }
    expect(instants(taken)[0]).toBe(slotAt(start, 10 * second, phaseOf(1, regionId, 10 * second)));
  });
});

describe('pauses', () => {
  const ids = Array.from({ length: 200 }, (_, index) => index + 1);

  test('what was overslept is given once, as missed, and what is due now is run', () => {
    const schedule = createSchedule({ regionId, floorUs: start });
    schedule.put(shards(ids.map((id) => assignment(id))), start);
    runUntil(schedule, start, start + 20 * second);
    const woke = start + 320 * second;
    const taken = schedule.take(woke, 10_000);
    for (const id of ids) {
      const mine = taken.filter((slot) => slot.assignment.id === id);
      expect(mine.filter(({ missed }) => missed).length).toBe(1);
      expect(mine.length).toBeLessThanOrEqual(2);
    }
    const run = taken.filter(({ missed }) => !missed);
    expect(run.every(({ scheduledAtUs }) => scheduledAtUs >= woke - second)).toBe(true);
    // Even load: a second's worth of 200 endpoints at 10 s.
    expect(run.length).toBeLessThan(50);
    const after = runUntil(schedule, woke, woke + 10 * second);
    expect(after.every(({ missed }) => !missed)).toBe(true);
    expect(after.length).toBe(200);
  });

  test('a clock that is set back repeats nothing', () => {
    const schedule = createSchedule({ regionId, floorUs: start });
    schedule.put(shards(ids.map((id) => assignment(id))), start);
    const before = runUntil(schedule, start, start + 60 * second);
    const again = runUntil(schedule, start + 10 * second, start + 90 * second);
    const all = [...before, ...again].map((slot) => `${slot.assignment.id}@${slot.scheduledAtUs}`);
    expect(new Set(all).size).toBe(all.length);
  });
});

describe('simulated', () => {
  const event = fc.oneof(
    fc.record({ what: fc.constant('run' as const), us: fc.integer({ min: 1, max: 40 * second }) }),
    fc.record({ what: fc.constant('sleep' as const), us: fc.integer({ min: 1, max: 600 * second }) }),
    fc.record({ what: fc.constant('back' as const), us: fc.integer({ min: 1, max: 600 * second }) }),
    fc.record({ what: fc.constant('edit' as const), intervalMs: fc.integer({ min: 1000, max: 120_000 }) }),
    fc.record({ what: fc.constant('leave' as const) }),
    fc.record({ what: fc.constant('return' as const), agoUs: fc.integer({ min: 0, max: 120 * second }) }),
  );

  test('whatever happens, no slot comes twice or out of order, and none is given that is not due', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 1000 }), fc.array(event, { maxLength: 40 }), (id, events) => {
        const schedule = createSchedule({ regionId, floorUs: start });
        let now = start;
        let current = assignment(id);
        const seen: DueSlot[] = [];
        schedule.put(shards([current]), now);
        const note = (taken: readonly DueSlot[], at: number) => {
          for (const slot of taken) expect(slot.scheduledAtUs).toBeLessThanOrEqual(at);
          seen.push(...taken);
        };
        for (const each of events) {
          if (each.what === 'run') {
            note(runUntil(schedule, now, now + each.us), now + each.us);
            now += each.us;
          } else if (each.what === 'sleep') {
            now += each.us;
            const taken = schedule.take(now, 100);
            note(taken, now);
            expect(taken.filter(({ kind }) => kind === 'slot').length).toBeLessThanOrEqual(2);
          } else if (each.what === 'back') {
            now -= each.us;
          } else if (each.what === 'edit') {
            current = { ...current, rev: current.rev + 1, intervalMs: each.intervalMs, changedAt: now };
            schedule.put(shards([current]), now);
          } else if (each.what === 'leave') {
            schedule.put([], now);
          } else {
            schedule.put(shards([current], [{ from: now - each.agoUs }]), now);
          }
        }
        const slots = instants(seen.filter(({ kind }) => kind === 'slot'));
        for (const [index, at] of slots.entries())
          if (index > 0) expect(at).toBeGreaterThan(slots[index - 1] ?? 0);
      }),
      { numRuns: 500 },
    );
  });

  test('edits, however many, leave no gap longer than the interval before and the ten seconds of an extra slot', () => {
    const edit = fc.record({
      afterUs: fc.oneof(fc.integer({ min: 0, max: 5 * second }), fc.integer({ min: 0, max: 60 * second })),
      heardUs: fc.integer({ min: 0, max: 2 * second }),
      intervalMs: fc.integer({ min: 1000, max: 60_000 }),
    });
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 1000 }),
        fc.array(edit, { minLength: 1, maxLength: 20 }),
        (id, edits) => {
          const schedule = createSchedule({ regionId, floorUs: start });
          let now = start;
          let current = assignment(id);
          schedule.put(shards([current]), now);
          let lastUs = start;
          let longest = current.intervalMs;
          const look = (untilUs: number) => {
            for (const slot of runUntil(schedule, now, untilUs)) {
              expect(slot.scheduledAtUs - lastUs).toBeLessThanOrEqual(longest * 1000 + 12 * second);
              lastUs = Math.max(lastUs, slot.scheduledAtUs);
              longest = current.intervalMs;
            }
            now = untilUs;
          };
          for (const { afterUs, heardUs, intervalMs } of edits) {
            look(now + afterUs);
            const changedAt = now;
            look(now + heardUs);
            current = { ...current, rev: current.rev + 1, intervalMs, changedAt };
            schedule.put(shards([current]), now);
          }
          look(now + 130 * second);
        },
      ),
      { numRuns: 300 },
    );
  });
});
