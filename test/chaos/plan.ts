import type { Fault } from './fault.ts';
import { conflict } from './faults/all.ts';
import type { Random } from './random.ts';

export interface Round {
  readonly faults: readonly Fault[];
  /** How long they last together. */
  readonly holdMs: number;
  /** The second comes so long after the first. */
  readonly apartMs: number;
}

/** The next round: every fault alone comes once before any comes again, and half of the rounds are pairs. */
export function createPlan(faults: readonly Fault[], random: Random, pairs: boolean) {
  let bag: Fault[] = [];
  const covered = new Set<string>();
  const possible = faults.flatMap((one, at) =>
    faults.slice(at + 1).filter((other) => !conflict(one, other)),
  ).length;

  function take(): Fault {
    if (bag.length === 0) bag = random.shuffle(faults);
    const fault = bag.pop();
    if (!fault) throw new Error('no faults to draw from');
    return fault;
  }

  return {
    next(): Round {
      const first = take();
      const others = faults.filter((other) => !conflict(first, other));
      const second = pairs && others.length > 0 && random.chance(0.5) ? random.pick(others) : null;
      if (second) covered.add([first.name, second.name].sort().join(' + '));
      return {
        faults: second ? [first, second] : [first],
        holdMs: random.int(3000, random.chance(0.2) ? 45_000 : 15_000),
        apartMs: random.int(0, 3000),
      };
    },
    pairsCovered: () => [...covered],
    pairsPossible: () => possible,
  };
}
