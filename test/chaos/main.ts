// npm run chaos: the whole network on this machine, broken at random from a seed, and checked from outside.
import { execFile } from 'node:child_process';
import { mkdtemp, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs, promisify } from 'node:util';
import { root } from '../harness/imports.ts';
import { buildWithCrashPoints } from './build/crash-build.ts';
import { allFaults, faultNamed } from './faults/all.ts';
import type { Violation } from './invariants/invariant.ts';
import { appendToLedger, entryOf, totals } from './ledger.ts';
import { runMutations, tellMutations } from './mutations.ts';
import { type ChaosReport, runChaos } from './run.ts';
import seedsOfCi from './seeds.json' with { type: 'json' };

const usage = `npm run chaos -- [--seed N] [--minutes M] [options]

Starts two hub replicas, four probes in two regions, Kafka, PostgreSQL and targets on this machine, every link through a
proxy; breaks them from a seed, alone and in pairs; and after each round checks from outside that nothing was lost,
doubled or forged.

  --seed N         what to draw from (default: the time)
  --minutes M      how long, from the first fault on; the round under way is finished (default: 10)
  --rounds N       at most so many rounds
  --rate N         checks a second (default: 200)
  --faults A,B     only these faults, by name
  --no-pairs       one fault at a time
  --ci             the fixed seeds of seeds.json, a few rounds each
  --list           the faults there are
  --mutations      proves that the checker can fail: builds with planted bugs, each of which it must see; with --bugs A,B
                   only these
  --no-ledger      do not append to docs/chaos-ledger.jsonl
  --keep           keep the folder of data and logs; it is kept anyway where something was found
  --json           the report as JSON, on one line
  --help

Exit codes: 0 nothing found, 1 an invariant was violated, 2 wrong usage.`;

interface Options {
  readonly seed: number;
  readonly minutes: number;
  readonly rounds: number;
  readonly rate: number;
  readonly faults: readonly string[];
  readonly pairs: boolean;
  readonly ledger: boolean;
  readonly ci: boolean;
  readonly mutations: boolean;
  readonly bugs: readonly string[];
  readonly keep: boolean;
  readonly json: boolean;
}

function readOptions(argv: readonly string[]): Options | string | null {
  try {
    const { values } = parseArgs({
      args: [...argv],
      allowNegative: true,
      options: {
        seed: { type: 'string' },
        minutes: { type: 'string', default: '10' },
        rounds: { type: 'string', default: '1000000' },
        rate: { type: 'string', default: '200' },
        faults: { type: 'string' },
        pairs: { type: 'boolean', default: true },
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
    if (values.help) return null;
    if (values.list) {
      for (const fault of allFaults) console.log(`${fault.area.padEnd(9)} ${fault.name}`);
      process.exit(0);
    }
    const number = (name: string, text: string, least: number, most: number) => {
      const value = Number(text);
      if (Number.isFinite(value) && value >= least && value <= most) return value;
      throw new Error(`--${name} ${text}: a number from ${least} to ${most}`);
    };
    const faults = (values.faults ?? '').split(',').filter(Boolean);
    for (const name of faults) faultNamed(name);
    return {
      seed: number('seed', values.seed ?? String(Date.now() % 1_000_000_000), 0, 2 ** 32 - 1),
      minutes: number('minutes', values.minutes, 0.1, 24 * 60),
      rounds: number('rounds', values.rounds, 1, 1e9),
      rate: number('rate', values.rate, 20, 2000),
      faults,
      pairs: values.pairs,
      ledger: values.ledger && !values.ci,
      ci: values.ci,
      mutations: values.mutations,
      bugs: (values.bugs ?? '').split(',').filter(Boolean),
      keep: values.keep,
      json: values.json,
    };
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

function tell({ violations, story, seed }: ChaosReport, folder: string): void {
  console.error(`\nVIOLATED, with seed ${seed}. Logs and data: ${folder}`);
  for (const { invariant, what, evidence } of violations as Violation[]) {
    console.error(`\n  ${invariant}: ${what}`);
    for (const line of evidence) console.error(`    ${line}`);
  }
  console.error('\n  what was done:');
  for (const line of story) console.error(`    ${line}`);
}

async function runOne(options: Options, bundles: string, signal: AbortSignal): Promise<ChaosReport> {
  const folder = await mkdtemp(join(tmpdir(), 'parallax-chaos-'));
  const beganMs = performance.now();
  const clock = () => {
    const s = Math.floor((performance.now() - beganMs) / 1000);
    return `${String(Math.floor(s / 60)).padStart(3)}:${String(s % 60).padStart(2, '0')}`;
  };
  const { minutes, seed, rounds, rate, pairs } = options;
  let found = true;
  try {
    const report = await runChaos({
      folder: join(folder, 'network'),
      bundles,
      rate,
      seed,
      faults:
        options.faults.length > 0
          ? options.faults.map(faultNamed)
          : allFaults.filter(({ onRequest }) => !onRequest),
      pairs,
      forMs: minutes * 60_000,
      rounds,
      say: (line) => console.error(`${clock()}  ${line}`),
      signal,
    });
    found = report.violations.length > 0;
    if (found) tell(report, folder);
    return report;
  } finally {
    if (signal.aborted || (!found && !options.keep)) await forget(folder);
    else console.error(`kept: ${folder}`);
  }
}

/** Where root runs it the database lies elsewhere, behind a link. */
async function forget(folder: string): Promise<void> {
  const postgres = await realpath(join(folder, 'network/postgres')).catch(() => null);
  if (postgres !== null) await rm(postgres, { recursive: true, force: true });
  await rm(folder, { recursive: true, force: true });
}

async function mutations({ seed, rate, bugs, json }: Options, signal: AbortSignal): Promise<number> {
  const say = (line: string) => console.error(line);
  const found = await runMutations({ seed, rate, only: bugs, say, signal });
  const { text, good } = tellMutations(found);
  if (json) for (const one of found) console.log(JSON.stringify(one));
  else console.log(text);
  return good ? 0 : 1;
}

async function main(): Promise<number> {
  const options = readOptions(process.argv.slice(2));
  if (options === null || typeof options === 'string') {
    if (options) console.error(`chaos: ${options}\n`);
    console.log(usage);
    return options ? 2 : 0;
  }
  const stopping = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(name, () => stopping.abort());
  const bundles = await mkdtemp(join(tmpdir(), 'parallax-chaos-build-'));
  try {
    await promisify(execFile)(process.execPath, [join(root, 'deploy/build.mjs'), '--quiet']);
    // The product as it is, with places where a hub may be made to end.
    await buildWithCrashPoints(bundles);
    if (options.mutations) return await mutations(options, stopping.signal);
    const runs = options.ci ? seedsOfCi.map((fixed) => ({ ...options, ...fixed })) : [options];
    let failed = 0;
    for (const run of runs) {
      const report = await runOne(run, bundles, stopping.signal);
      if (report.violations.length > 0) failed += 1;
      const entry = await entryOf(report);
      if (options.json) console.log(JSON.stringify(report));
      else {
        console.log(
          `seed ${entry.seed}: ${entry.minutes} min, ${entry.rounds} rounds, ${entry.checks} checks, ${entry.stored} stored, ${entry.lost} lost, ${entry.doubled} doubled, ${entry.forged} forged, longest recovery ${entry.longestRecoveryS} s; pairs ${report.pairs.length} of ${report.pairsPossible}`,
        );
        console.log(
          Object.entries(report.counts)
            .map(([name, count]) => `${name} ${count}`)
            .join(' · '),
        );
        console.log('invariant 2 (rollups equal a recount): NOT CHECKED, there are no rollups yet');
      }
      if (options.ledger) {
        const all = totals(await appendToLedger(entry));
        console.log(
          `in the ledger: ${Object.entries(all)
            .map(([name, count]) => `${name} ${count}`)
            .join(' · ')}`,
        );
      }
    }
    return failed > 0 ? 1 : 0;
  } catch (error) {
    if (stopping.signal.aborted) return 130;
    console.error(`chaos: ${error instanceof Error ? (error.stack ?? error.message) : error}`);
    return 1;
  } finally {
    await rm(bundles, { recursive: true, force: true });
  }
}

process.exitCode = await main();
