import fc from 'fast-check';
import { expect, test } from 'vitest';
import { createHeap } from '../../../probe/schedule/heap.ts';

test('whatever is put, moved and removed, the earliest comes first', () => {
  const step = fc.record({
    what: fc.constantFrom('put', 'put', 'move', 'remove', 'pop'),
    item: fc.nat({ max: 30 }),
    dueUs: fc.nat({ max: 100 }),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const heap = createHeap<{ dueUs: number; index: number }>();
      const items = Array.from({ length: 31 }, () => ({ dueUs: 0, index: -1 }));
      const model = new Set<(typeof items)[number]>();
      for (const { what, item: at, dueUs } of steps) {
        const item = what === 'pop' ? heap.peek() : items[at];
        if (!item) continue;
        if (what === 'put' || what === 'move') {
          item.dueUs = dueUs;
          heap.put(item);
          model.add(item);
        } else {
          heap.remove(item);
          model.delete(item);
        }
        expect(heap.size).toBe(model.size);
        const earliest = Math.min(...[...model].map((one) => one.dueUs));
        expect(heap.peek()?.dueUs ?? Number.POSITIVE_INFINITY).toBe(earliest);
      }
    }),
  );
});
