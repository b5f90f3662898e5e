import type { Fault } from './fault.ts';
import { conflict, faultNamed } from './faults/all.ts';
import type { Random } from './random.ts';

export interface Round {
  /** From 1; what faults draw in a round depends on the seed and on this alone. */
  readonly at: number;
  readonly faults: readonly Fault[];
  /** How long they last together. */
  readonly holdMs: number;
  /** The second comes so long after the first. */
  readonly apartMs: number;
}

/** A round as a file holds it, to be played again. */
export interface WrittenRound extends Omit<Round, 'faults'> {
  readonly faults: readonly string[];
}

export interface Plan {
  /** Null where it is over. */
  next(): Round | null;
  /** Pairs of faults that can stand beside each other. */
  readonly pairsPossible: number;
}

export interface PlanOptions {
  readonly faults: readonly Fault[];
  readonly random: Random;
  readonly pairs: boolean;
  /** The longest that faults of a round last. */
  readonly longestMs: number;
}

/**
 * Drawn: every fault comes once before any comes again, and three of five rounds are pairs, with those pairs first that
 * have not been yet.
 */
export function drawnPlan({ faults, random, pairs, longestMs }: PlanOptions): Plan {
  let bag: Fault[] = [];
  let at = 0;
  const covered = new Set<string>();

  function take(): Fault {
    if (bag.length === 0) bag = random.shuffle(faults);
    const fault = bag.pop();
    if (!fault) throw new Error('no faults to draw from');
    return fault;
  }

  function partner(first: Fault): Fault | null {
    const others = faults.filter((other) => !conflict(first, other));
    const fresh = others.filter((other) => !covered.has(pairOf([first.name, other.name])));
    if (others.length === 0) return null;
    return random.pick(fresh.length > 0 ? fresh : others);
  }

  return {
    pairsPossible: pairsOf(faults),
    next() {
      at += 1;
      const first = take();
      const second = pairs && random.chance(0.6) ? partner(first) : null;
      const drawn = second ? [first, second] : [first];
      if (second) covered.add(pairOf(drawn.map(({ name }) => name)));
      const holdMs = Math.min(longestMs, random.int(3000, random.chance(0.2) ? 60_000 : 15_000));
      return { at, faults: drawn, holdMs, apartMs: random.int(0, 3000) };
    },
  };
}

/** One that was played before. Throws where a fault is not there any more. */
export function writtenPlan(rounds: readonly WrittenRound[]): Plan {
  const left = rounds.map((round) => ({ ...round, faults: round.faults.map(faultNamed) }));
  return { pairsPossible: pairsOf([]), next: () => left.shift() ?? null };
}

export function written({ faults, ...round }: Round): WrittenRound {
  return { ...round, faults: faults.map(({ name }) => name) };
}

/** `a + b`, whatever the order. */
export function pairOf(names: readonly string[]): string {
  return [...names].sort().join(' + ');
}

function pairsOf(faults: readonly Fault[]): number {
  return faults.flatMap((one, at) => faults.slice(at + 1).filter((other) => !conflict(one, other))).length;
}
