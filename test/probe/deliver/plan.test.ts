import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createDeliveryPlan, type DeliveryPlan } from '../../../probe/deliver/plan.ts';
import { createSeqRanges } from '../../../probe/spool/seq-ranges.ts';

function takeAll(plan: DeliveryPlan, nowMs = 0): number[] {
  const taken: number[] = [];
  for (let next = plan.next(true); next; next = plan.next(true)) {
    plan.sending(next.seq);
    plan.sent(next.seq, nowMs);
    taken.push(next.seq);
  }
  return taken;
}

describe('ranges of numbers', () => {
  const operation = fc.record({
    add: fc.boolean(),
    first: fc.integer({ min: 1, max: 60 }),
    length: fc.integer({ min: 0, max: 12 }),
  });

  test('hold what a set would hold, in as few runs as there are', () => {
    fc.assert(
      fc.property(
        fc.array(operation, { maxLength: 40 }),
        fc.integer({ min: 0, max: 70 }),
        (operations, from) => {
          const ranges = createSeqRanges();
          const set = new Set<number>();
          for (const { add, first, length } of operations) {
            if (add) ranges.add(first, first + length);
            else ranges.remove(first, first + length);
            for (let seq = first; seq <= first + length; seq += 1) {
              if (add) set.add(seq);
              else set.delete(seq);
            }
          }
          const sorted = [...set].sort((a, b) => a - b);
          const listed = ranges
            .runs()
            .flatMap(([first, last]) =>
              Array.from({ length: last - first + 1 }, (_, index) => first + index),
            );
          expect(listed).toEqual(sorted);
          const runs = ranges.runs();
          expect(runs.every(([first], index) => index === 0 || first > (runs[index - 1]?.[1] ?? 0) + 1)).toBe(
            true,
          );
          const above = sorted.filter((seq) => seq >= from);
          expect([ranges.firstFrom(from), ranges.countFrom(from), ranges.has(from)]).toEqual([
            above[0] ?? null,
            above.length,
            set.has(from),
          ]);
        },
      ),
    );
  });
});

describe('the plan of a delivery', () => {
  test('sends live batches first, the backlog beside them from its beginning', () => {
    const plan = createDeliveryPlan();
    plan.found([
      [3, 5],
      [8, 9],
    ]);
    plan.sealed(10);
    expect(plan.next(true)).toEqual({ seq: 10, live: true });
    plan.sending(10);
    expect(plan.next(false)).toBeNull();
    expect(plan.next(true)).toEqual({ seq: 3, live: false });
    plan.sent(10, 0);
    expect(takeAll(plan)).toEqual([3, 4, 5, 8, 9]);
    expect(plan.open()).toBe(0);
  });

  test('knows what was never sent from here: what was found may have been, by the process before', () => {
    const plan = createDeliveryPlan();
    plan.found([[1, 5]]);
    for (const seq of [6, 7, 8]) plan.sealed(seq);
    expect([5, 6, 99].map(plan.neverSent)).toEqual([false, true, true]);
    plan.sending(6);
    plan.failed(6);
    plan.gone(7, 7);
    expect([7, 8].map(plan.neverSent)).toEqual([false, true]);
    plan.sending(8);
    expect(plan.neverSent(99)).toBe(false);
  });

  test('what piles up while nothing gets out becomes backlog', () => {
    const plan = createDeliveryPlan();
    for (let seq = 1; seq <= 40; seq += 1) plan.sealed(seq);
    expect(plan.next(true)?.seq).toBe(34);
    for (let seq = 41; seq <= 50; seq += 1) plan.sealed(seq);
    expect(plan.next(true)?.live).toBe(true);
    expect(takeAll(plan)).toHaveLength(50);
  });

  test('a batch that is not durable 30 s after it was sent is sent again, and those after it', () => {
    const plan = createDeliveryPlan();
    plan.found([[1, 5]]);
    takeAll(plan, 1000);
    plan.durable(2, 2000);
    expect(plan.again(31_000)).toBe(0);
    expect(plan.again(32_000)).toBe(3);
    expect(takeAll(plan, 32_000)).toEqual([3, 4, 5]);
    expect([plan.again(61_000), plan.again(91_000), plan.again(92_000)]).toEqual([0, 0, 3]);
    takeAll(plan, 92_000);
    plan.durable(5, 93_000);
    expect(plan.again(1e9)).toBe(0);
  });

  test('a hub that lost much gets it in windows that grow while they help', () => {
    const plan = createDeliveryPlan();
    plan.found([[1, 1000]]);
    takeAll(plan, 0);
    const windows: number[] = [];
    let nowMs = 0;
    let durable = 0;
    while (durable < 1000) {
      nowMs += 31_000;
      const lost = plan.again(nowMs);
      windows.push(lost);
      durable += takeAll(plan, nowMs).length;
      plan.durable(durable, nowMs);
    }
    expect(windows).toEqual([32, 64, 128, 256, 512, 8]);
  });

  test('a parked batch is left alone for its time, and waits for no other', () => {
    const plan = createDeliveryPlan();
    plan.found([[1, 3]]);
    plan.sending(1);
    plan.park(1, 600_000);
    expect(takeAll(plan)).toEqual([2, 3]);
    expect(plan.again(599_999)).toBe(0);
    expect(plan.next(true)).toBeNull();
    plan.again(600_000);
    expect(plan.next(true)?.seq).toBe(1);
  });

  const event = fc.oneof(
    fc.record({ kind: fc.constant('seal' as const), pick: fc.nat() }),
    fc.record({
      kind: fc.constantFrom('take' as const, 'sent' as const, 'fail' as const, 'lose' as const),
      pick: fc.nat(200),
    }),
    fc.record({
      kind: fc.constantFrom('durable' as const, 'again' as const, 'gone' as const),
      pick: fc.nat(200),
    }),
  );

  test('whatever happens, each batch is delivered or gone in the end, and none is under way twice', () => {
    fc.assert(
      fc.property(fc.array(event, { maxLength: 150 }), fc.nat(30), (events, found) => {
        const plan = createDeliveryPlan();
        let [lastSeq, durable, nowMs] = [found, 0, 0];
        const arrived = new Set<number>();
        const gone = new Set<number>();
        const underWay: number[] = [];
        if (found > 0) plan.found([[1, found]]);
        const take = () => {
          const next = plan.next(true);
          if (!next) return false;
          expect(underWay).not.toContain(next.seq);
          expect(next.seq).toBeGreaterThan(durable);
          expect(gone).not.toContain(next.seq);
          plan.sending(next.seq);
          underWay.push(next.seq);
          return true;
        };
        const end = (pick: number, fate: 'sent' | 'fail' | 'lose') => {
          const [seq] = underWay.splice(pick % underWay.length, 1);
          if (seq === undefined) return;
          if (fate === 'sent') arrived.add(seq);
          if (fate === 'fail') plan.failed(seq);
          else plan.sent(seq, nowMs);
        };
        const hear = () => {
          while (arrived.has(durable + 1) || gone.has(durable + 1)) durable += 1;
          plan.durable(durable, nowMs);
        };
        for (const { kind, pick } of events) {
          nowMs += 1000;
          if (kind === 'seal') {
            lastSeq += 1;
            plan.sealed(lastSeq);
          } else if (kind === 'take') take();
          else if (kind === 'sent' || kind === 'fail' || kind === 'lose') {
            if (underWay.length > 0) end(pick, kind);
          } else if (kind === 'durable') hear();
          else if (kind === 'again') plan.again(nowMs);
          else if (durable < lastSeq) {
            const seq = durable + 1 + (pick % (lastSeq - durable));
            if (underWay.includes(seq)) continue;
            plan.gone(seq, seq);
            gone.add(seq);
          }
        }
        for (let round = 0; round < 1000 && durable < lastSeq; round += 1) {
          nowMs += 1000;
          while (take());
          while (underWay.length > 0) end(0, 'sent');
          hear();
          plan.again(nowMs);
        }
        expect(durable).toBe(lastSeq);
        expect(plan.open()).toBe(0);
      }),
      { numRuns: 300 },
    );
  });
});
