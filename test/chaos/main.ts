// npm run chaos: the whole network on this machine, broken at random from a seed, and checked from outside.
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { root } from '../harness/imports.ts';
import { buildWithCrashPoints } from './build/crash-build.ts';
import { allFaults, faultNamed } from './faults/all.ts';
import { forgetFolder } from './forget-folder.ts';
import { appendToLedger, entryOf, totals } from './ledger.ts';
import { logTails } from './log-tails.ts';
import { runMutations, tellMutations } from './mutations.ts';
import { type Options, readOptions, usage } from './options.ts';
import type { WrittenRound } from './plan.ts';
import { replayOf, replaySchema, writeReplay } from './replay.ts';
import { type ChaosReport, runChaos } from './run.ts';
import { shrink } from './shrink.ts';

/** Runs of a network, a minute or two each. */
const maxShrinkRuns = 8;

async function tell({ violations, story, seed }: ChaosReport, folder: string): Promise<void> {
  console.error(`\nVIOLATED, with seed ${seed}`);
  for (const { invariant, what, evidence } of violations) {
    console.error(`\n  ${invariant}: ${what}`);
    for (const line of evidence) console.error(`    ${line}`);
  }
  console.error('\n  what was done:');
  for (const line of story) console.error(`    ${line}`);
  console.error('\n  the last that was logged of trouble:');
  for (const line of await logTails(join(folder, 'network'))) console.error(`    ${line}`);
}

/** A line with the time since now. */
function sayer(): (line: string) => void {
  const beganMs = performance.now();
  return (line) => {
    const s = Math.floor((performance.now() - beganMs) / 1000);
    console.error(`${String(Math.floor(s / 60)).padStart(3)}:${String(s % 60).padStart(2, '0')}  ${line}`);
  };
}

function faultsOf({ faults = [] }: Options) {
  return faults.length > 0 ? faults.map(faultNamed) : allFaults.filter(({ onRequest }) => !onRequest);
}

async function runOne(
  options: Options,
  bundles: string,
  plan: readonly WrittenRound[] | undefined,
  signal: AbortSignal,
): Promise<ChaosReport> {
  const folder = await mkdtemp(join(tmpdir(), 'parallax-chaos-'));
  let keep = true;
  try {
    const report = await runChaos({
      folder: join(folder, 'network'),
      bundles,
      rate: options.rate,
      seed: options.seed,
      faults: faultsOf(options),
      pairs: options.pairs,
      forMs: options.minutes * 60_000,
      rounds: options.rounds ?? Number.POSITIVE_INFINITY,
      ...(options.longestS !== undefined && { longestMs: options.longestS * 1000 }),
      ...(plan && { plan }),
      say: sayer(),
      signal,
    });
    const found = report.violations.length > 0;
    keep = found || options.keep;
    if (!found) return report;
    await tell(report, folder);
    const file = join(folder, 'replay.json');
    await writeReplay(file, replayOf(report, options.rate));
    console.error(`\n  again: npm run chaos -- --replay ${file}`);
    return report;
  } finally {
    if (keep && !signal.aborted) console.error(`\nlogs and data are kept in ${folder}`);
    else await forgetFolder(folder);
  }
}

async function shrinkIt(report: ChaosReport, options: Options, bundles: string, signal: AbortSignal) {
  const before = new Set(report.violations.map(({ invariant }) => invariant));
  const violates = async (rounds: readonly WrittenRound[]) => {
    console.error(
      `\nagain, with ${rounds.map(({ at, faults }) => `${at}: ${faults.join(' + ')}`).join('; ')}`,
    );
    const { violations } = await runOne({ ...options, keep: false }, bundles, rounds, signal);
    return violations.some(({ invariant }) => before.has(invariant));
  };
  const { rounds, reproduced, runs } = await shrink(report.played, violates, maxShrinkRuns);
  if (!reproduced) {
    console.error(`\nnot seen again in ${runs} runs: it depends on more than the seed`);
    return;
  }
  console.error(`\nthe least that shows it, after ${runs} runs:`);
  for (const { at, faults } of rounds) console.error(`  round ${at}: ${faults.join(' + ')}`);
  const plan = rounds.map((round) => ({ ...round, faults: [...round.faults] }));
  console.error(`for seeds.json: ${JSON.stringify({ seed: report.seed, plan })}`);
}

async function runsOfCi(options: Options): Promise<Options[]> {
  const text = await readFile(join(root, 'test/chaos/seeds.json'), 'utf8');
  const seeds = z.array(replaySchema).parse(JSON.parse(text));
  return seeds.map(({ why: _, minutes = options.minutes, rate = options.rate, ...seed }) => ({
    ...options,
    ...seed,
    minutes,
    rate,
  }));
}

async function summarize(report: ChaosReport, { json, ledger }: Options): Promise<void> {
  const entry = await entryOf(report);
  const all = ledger ? totals(await appendToLedger(entry)) : null;
  if (json) {
    console.log(JSON.stringify(report));
    return;
  }
  const { seed, minutes, rounds, checks, stored, lost, doubled, forged, longestRecoveryS } = entry;
  const line = (counts: object) =>
    Object.entries(counts)
      .map(([name, count]) => `${name} ${count}`)
      .join(' · ');
  console.log(
    `seed ${seed}: ${line({ minutes, rounds, checks, stored, lost, doubled, forged, longestRecoveryS })}`,
  );
  console.log(`pairs of faults: ${report.pairs.length} of ${report.pairsPossible} in this run`);
  console.log(line(report.counts));
  console.log('invariant 2, rollups equal a recount: NOT CHECKED, there are no rollups yet');
  if (all) console.log(`in the ledger: ${line(all)} of ${report.pairsPossible} possible`);
}

async function mutations({ seed, rate, bugs, json }: Options, signal: AbortSignal): Promise<number> {
  const say = (line: string) => console.error(line);
  const found = await runMutations({ seed, rate, only: bugs, say, signal });
  const { text, good } = tellMutations(found);
  if (json) for (const one of found) console.log(JSON.stringify(one));
  else console.log(text);
  return good ? 0 : 1;
}

async function run(options: Options, bundles: string, signal: AbortSignal): Promise<number> {
  // The product as it is, with places where a hub may be made to end.
  await buildWithCrashPoints(bundles);
  if (options.mode === 'mutations') return mutations(options, signal);
  const runs = options.mode === 'ci' ? await runsOfCi(options) : [options];
  let failed = 0;
  for (const one of runs) {
    const report = await runOne(one, bundles, one.plan, signal);
    await summarize(report, one);
    if (report.violations.length === 0) continue;
    failed += 1;
    if (options.shrink) await shrinkIt(report, one, bundles, signal);
  }
  return failed > 0 ? 1 : 0;
}

async function main(): Promise<number> {
  let options: Options;
  try {
    options = await readOptions(process.argv.slice(2));
  } catch (error) {
    console.error(`chaos: ${error instanceof Error ? error.message : error}; --help says what there is`);
    return 2;
  }
  if (options.mode === 'help') {
    console.log(usage);
    return 0;
  }
  if (options.mode === 'list') {
    for (const { area, name } of allFaults) console.log(`${area.padEnd(9)} ${name}`);
    return 0;
  }
  const stopping = new AbortController();
  let firstMs = 0;
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(name, () => {
      // npm passes on what the terminal sent already: only a later one means "at once".
      if (stopping.signal.aborted && performance.now() - firstMs > 1000) process.exit(130);
      if (stopping.signal.aborted) return;
      firstMs = performance.now();
      console.error('chaos: stopping; once more ends it at once');
      stopping.abort();
    });
  }
  const bundles = await mkdtemp(join(tmpdir(), 'parallax-chaos-build-'));
  try {
    return await run(options, bundles, stopping.signal);
  } catch (error) {
    if (stopping.signal.aborted) return 130;
    // No word on the system, and no line in the ledger.
    console.error('chaos: the machine itself failed, which says nothing of the system:');
    console.error(error instanceof Error ? (error.stack ?? error.message) : error);
    return 1;
  } finally {
    await rm(bundles, { recursive: true, force: true });
  }
}

// What did not close in time is left behind: its processes are on our tether.
process.exit(await main());
