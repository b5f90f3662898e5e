import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { table } from '../../shared/command-line.ts';
import { buildWithCrashPoints } from './build/crash-build.ts';
import { type PlantedBug, plantedBugs } from './build/planted-bugs.ts';
import { faultNamed } from './faults/all.ts';
import { forgetFolder } from './forget-folder.ts';
import { type ChaosReport, runChaos } from './run.ts';

export interface MutationOptions {
  readonly seed: number;
  readonly rate: number;
  /** Names of planted bugs; none for all. */
  readonly only: readonly string[];
  readonly say: (line: string) => void;
  readonly signal: AbortSignal;
}

export interface Mutation {
  readonly bug: string;
  /** Invariants that were violated; none where it went unnoticed. */
  readonly caughtBy: readonly string[];
  /** From the first fault to the verdict. */
  readonly afterS: number;
  /** What the true build violated under the same plan, which must be nothing. */
  readonly trueBuild: readonly string[];
  /** The first line of the evidence. */
  readonly evidence: string;
}

/** A bug must be seen in this time. */
const deadlineMs = 120_000;
/** How long the network may take to come to rest: a batch that was lost on the way is sent again after 30 s. */
const recoveryMs = 60_000;

/**
 * Proves that the checker can fail: each planted bug is built, run under the shortest plan that should show it, and must
 * be seen; the same plan on the true build must show nothing.
 */
export async function runMutations(options: MutationOptions): Promise<readonly Mutation[]> {
  const bugs = plantedBugs.filter(({ name }) => options.only.length === 0 || options.only.includes(name));
  const folder = await mkdtemp(join(tmpdir(), 'parallax-mutations-'));
  const found: Mutation[] = [];
  const passed = new Map<string, readonly string[]>();
  try {
    await buildWithCrashPoints(join(folder, 'true'));
    for (const [at, bug] of bugs.entries()) {
      options.say(`${at + 1} of ${bugs.length}: ${bug.name}: ${bug.what}`);
      await buildWithCrashPoints(join(folder, bug.name), { patches: bug.patches });
      const report = await play(bug, join(folder, bug.name), options, true);
      const plan = bug.faults.join();
      if (!passed.has(plan)) {
        options.say(`the same plan, ${plan}, on the true build`);
        const truth = await play(bug, join(folder, 'true'), options, false);
        passed.set(
          plan,
          truth.violations.map(({ invariant, what }) => `${invariant}: ${what}`),
        );
      }
      const [first] = report.violations;
      found.push({
        bug: bug.name,
        caughtBy: [...new Set(report.violations.map(({ invariant }) => invariant))],
        afterS: report.afterS,
        trueBuild: passed.get(plan) ?? [],
        evidence: first ? `${first.what}: ${first.evidence[0] ?? ''}` : '',
      });
    }
    return found;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Until something is violated or the time is over; the true build plays as many rounds as there are faults. */
async function play(
  bug: PlantedBug,
  bundles: string,
  { seed, rate, say, signal }: MutationOptions,
  planted: boolean,
): Promise<ChaosReport & { readonly afterS: number }> {
  const place = await mkdtemp(join(tmpdir(), 'parallax-mutation-'));
  try {
    let beganMs = performance.now();
    const report = await runChaos({
      folder: join(place, 'network'),
      bundles,
      rate,
      seed,
      faults: bug.faults.map(faultNamed),
      pairs: false,
      forMs: planted ? deadlineMs : Number.POSITIVE_INFINITY,
      rounds: planted ? 100 : 2 * bug.faults.length,
      recoveryMs,
      say(line) {
        if (line.startsWith('all runs')) beganMs = performance.now();
        say(`  ${line}`);
      },
      signal,
      ...(bug.env && { hubEnv: bug.env }),
    });
    return { ...report, afterS: Math.round((performance.now() - beganMs) / 1000) };
  } finally {
    await forgetFolder(place);
  }
}

/** The table goes into notes as it is. */
const plain = { out: () => undefined, err: () => undefined, columns: null, colour: false };

/** For people, and true where every bug was seen and the true build showed nothing. */
export function tellMutations(mutations: readonly Mutation[]): {
  readonly text: string;
  readonly good: boolean;
} {
  const rows = mutations.map(({ bug, caughtBy, afterS, trueBuild }) => [
    bug,
    caughtBy.length > 0 ? caughtBy.join(', ') : 'NOT SEEN',
    afterS * 1000 > deadlineMs ? `${afterS}, TOO LATE` : `${afterS}`,
    trueBuild.length > 0 ? trueBuild.join('; ') : 'nothing',
  ]);
  const text = table(plain, ['planted bug', 'caught by invariant', 'after s', 'true build violates'], rows);
  return {
    text,
    good: mutations.every(
      ({ caughtBy, afterS, trueBuild }) =>
        caughtBy.length > 0 && afterS * 1000 <= deadlineMs && trueBuild.length === 0,
    ),
  };
}
