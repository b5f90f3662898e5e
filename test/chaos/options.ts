import { parseArgs } from 'node:util';
import { plantedBugs } from './build/planted-bugs.ts';
import { faultNamed } from './faults/all.ts';
import { type Replay, readReplay } from './replay.ts';

export const usage = `npm run chaos -- [--seed N] [--minutes M] [options]

Starts two hub replicas, four probes in two regions, Kafka, PostgreSQL and targets on this machine, every link through a
proxy; breaks them from a seed, alone and in pairs; and after each round checks from outside that nothing was lost,
doubled or forged. docs/chaos.md says what is compared with what.

  --seed N         what to draw from (default: the time)
  --minutes M      how long, from the first fault on; the round under way is finished (default: 10)
  --rounds N       at most so many rounds
  --rate N         checks a second (default: 200)
  --faults A,B     only these faults, by name
  --no-pairs       one fault at a time
  --longest S      faults of a round last so many seconds at most (default: 60)
  --replay FILE    the rounds of a run that found something, again
  --shrink         where something is found, plays fewer and fewer of its rounds again, eight times at most
  --ci             what seeds.json says: a short run from a fixed seed, and what was found before
  --list           the faults there are
  --mutations      proves that the checker can fail: builds with planted bugs, each of which it must see; with --bugs A,B
                   only these
  --no-ledger      do not append to docs/chaos-ledger.jsonl
  --keep           keep the folder of data and logs; it is kept anyway where something was found
  --json           the report as JSON, on one line
  --help

Exit codes: 0 nothing found, 1 an invariant was violated, a planted bug was not seen, or the machine itself failed, 2 wrong
usage.`;

export interface Options extends Omit<Replay, 'minutes' | 'rate' | 'why'> {
  readonly minutes: number;
  readonly rate: number;
  readonly pairs: boolean;
  readonly shrink: boolean;
  readonly ledger: boolean;
  readonly mode: 'run' | 'ci' | 'list' | 'mutations' | 'help';
  readonly bugs: readonly string[];
  readonly keep: boolean;
  readonly json: boolean;
}

/** Throws with what is wrong, for the one who typed it. */
export async function readOptions(argv: readonly string[]): Promise<Options> {
  const { values } = parseArgs({
    args: [...argv],
    allowNegative: true,
    options: {
      seed: { type: 'string' },
      minutes: { type: 'string' },
      rounds: { type: 'string' },
      rate: { type: 'string' },
      faults: { type: 'string' },
      pairs: { type: 'boolean', default: true },
      longest: { type: 'string' },
      replay: { type: 'string' },
      shrink: { type: 'boolean', default: false },
      ledger: { type: 'boolean', default: true },
      ci: { type: 'boolean', default: false },
      mutations: { type: 'boolean', default: false },
      bugs: { type: 'string' },
      list: { type: 'boolean', default: false },
      keep: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  const number = (name: keyof typeof values, least: number, most: number, whole = false) => {
    const text = values[name];
    if (text === undefined) return undefined;
    const value = Number(text);
    if (value >= least && value <= most && (!whole || Number.isInteger(value))) return value;
    throw new Error(`--${name} ${text}: a ${whole ? 'whole number' : 'number'} from ${least} to ${most}`);
  };
  const list = (text: string | undefined) => (text ?? '').split(',').filter(Boolean);
  const faults = list(values.faults);
  for (const name of faults) faultNamed(name);
  const bugs = list(values.bugs);
  for (const name of bugs) {
    if (plantedBugs.some((bug) => bug.name === name)) continue;
    throw new Error(`there is no planted bug '${name}': ${plantedBugs.map((bug) => bug.name).join(', ')}`);
  }
  if (bugs.length > 0 && !values.mutations) throw new Error('--bugs goes with --mutations');
  const again = values.replay === undefined ? null : await readReplay(values.replay);
  const { ci, mutations, help } = values;
  const plan = again?.plan;
  const rounds = number('rounds', 1, 1e9, true) ?? again?.rounds;
  const longestS = number('longest', 1, 600) ?? again?.longestS;
  return {
    seed: number('seed', 0, 2 ** 32 - 1, true) ?? again?.seed ?? Date.now() % 1_000_000_000,
    minutes: number('minutes', 0.1, 24 * 60) ?? again?.minutes ?? (plan ? 24 * 60 : 10),
    rate: number('rate', 20, 2000) ?? again?.rate ?? 200,
    ...(rounds !== undefined && { rounds }),
    ...(longestS !== undefined && { longestS }),
    ...(plan && { plan }),
    faults: faults.length > 0 ? faults : (again?.faults ?? []),
    pairs: values.pairs,
    shrink: values.shrink,
    ledger: values.ledger && !ci && again === null,
    mode: help ? 'help' : values.list ? 'list' : mutations ? 'mutations' : ci ? 'ci' : 'run',
    bugs,
    keep: values.keep,
    json: values.json,
  };
}
