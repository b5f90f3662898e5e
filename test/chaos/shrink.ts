import type { WrittenRound } from './plan.ts';

export interface Shrunk {
  readonly rounds: readonly WrittenRound[];
  /** Whether these rounds showed it again: chance and the machine's speed have a part in it. */
  readonly reproduced: boolean;
  readonly runs: number;
}

/**
 * The fewest rounds and faults that still violate an invariant, as far as so many runs can tell: first the last rounds
 * alone, more of them each time; then without each of the earlier rounds; then without each fault.
 */
export async function shrink(
  rounds: readonly WrittenRound[],
  violates: (rounds: readonly WrittenRound[]) => Promise<boolean>,
  maxRuns: number,
): Promise<Shrunk> {
  let runs = 0;
  const tried = new Set<string>();
  const shows = async (some: readonly WrittenRound[]) => {
    const which = JSON.stringify(some);
    if (runs >= maxRuns || some.length === 0 || tried.has(which)) return false;
    tried.add(which);
    runs += 1;
    return violates(some);
  };

  let smallest: readonly WrittenRound[] | null = null;
  for (let last = 1; smallest === null; last *= 2) {
    const some = rounds.slice(-last);
    if (await shows(some)) smallest = some;
    else if (last >= rounds.length || runs >= maxRuns) return { rounds, reproduced: false, runs };
  }
  for (let progress = true; progress; ) {
    progress = false;
    for (const fewer of smaller(smallest)) {
      if (!(await shows(fewer))) continue;
      smallest = fewer;
      progress = true;
      break;
    }
  }
  return { rounds: smallest, reproduced: true, runs };
}

/** With one round less, then with one fault less. */
function* smaller(rounds: readonly WrittenRound[]): Generator<readonly WrittenRound[]> {
  if (rounds.length > 1) {
    for (const at of rounds.keys()) yield rounds.toSpliced(at, 1);
  }
  for (const [at, round] of rounds.entries()) {
    if (round.faults.length < 2) continue;
    for (const fault of round.faults) {
      yield rounds.with(at, { ...round, faults: round.faults.filter((name) => name !== fault) });
    }
  }
}
