/** A set of whole numbers as runs that neither overlap nor touch, lowest first: [first, last], both included. */
export type SeqRange = readonly [first: number, last: number];

export interface SeqRanges {
  add(first: number, last?: number): void;
  remove(first: number, last?: number): void;
  has(seq: number): boolean;
  /** The lowest that is at least `from`, or null. */
  firstFrom(from: number): number | null;
  /** How many numbers are at least `from`. */
  countFrom(from: number): number;
  runs(): readonly SeqRange[];
}

export function createSeqRanges(initial: readonly SeqRange[] = []): SeqRanges {
  let runs: [number, number][] = [];

  function add(first: number, last = first): void {
    const top = runs.at(-1);
    // What almost every call does: the next number.
    if (top && first === top[1] + 1) {
      top[1] = last;
      return;
    }
    const touching = runs.filter(([from, to]) => from <= last + 1 && to >= first - 1);
    const merged: [number, number] = [
      Math.min(first, ...touching.map(([from]) => from)),
      Math.max(last, ...touching.map(([, to]) => to)),
    ];
    runs = [...runs.filter((run) => !touching.includes(run)), merged].sort((a, b) => a[0] - b[0]);
  }

  for (const [first, last] of initial) add(first, last);
  return {
    add,
    remove(first, last = first) {
      if (!runs.some(([from, to]) => from <= last && to >= first)) return;
      runs = runs.flatMap(([from, to]) => {
        const below: [number, number] = [from, Math.min(to, first - 1)];
        const above: [number, number] = [Math.max(from, last + 1), to];
        return [below, above].filter((run) => run[0] <= run[1]);
      });
    },
    has: (seq) => runs.some(([from, to]) => seq >= from && seq <= to),
    firstFrom(from) {
      const run = runs.find(([, to]) => to >= from);
      return run ? Math.max(run[0], from) : null;
    },
    countFrom: (from) =>
      runs.reduce((sum, [first, last]) => sum + Math.max(0, last - Math.max(first, from) + 1), 0),
    runs: () => runs,
  };
}
