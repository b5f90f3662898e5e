import { execFile } from 'node:child_process';
import { appendFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { root } from '../harness/imports.ts';
import type { ChaosReport } from './run.ts';

/** One run, a line of docs/chaos-ledger.jsonl; docs/chaos-ledger.md is made from all of them. */
export interface Entry {
  readonly at: string;
  readonly version: string;
  readonly seed: number;
  readonly minutes: number;
  readonly rounds: number;
  readonly checks: number;
  readonly acknowledged: number;
  readonly stored: number;
  readonly lost: number;
  readonly doubled: number;
  /** Of probes whose spool a fault had spoilt a moment before; not there in the first entries. */
  readonly duplicatesExcused?: number;
  readonly forged: number;
  readonly lies: number;
  readonly longestRecoveryS: number;
  readonly faults: Readonly<Record<string, number>>;
  readonly pairs: readonly string[];
  readonly violations: readonly string[];
}

const file = join(root, 'docs/chaos-ledger.jsonl');
const page = join(root, 'docs/chaos-ledger.md');

export async function entryOf(report: ChaosReport): Promise<Entry> {
  const { counts } = report;
  const described = await promisify(execFile)('git', ['describe', '--always', '--dirty'], {
    cwd: root,
  }).catch(() => ({ stdout: 'unknown' }));
  return {
    at: new Date().toISOString(),
    version: described.stdout.trim(),
    seed: report.seed,
    minutes: Math.round(report.minutes * 10) / 10,
    rounds: report.rounds,
    checks: report.checks,
    acknowledged: counts.acknowledged ?? 0,
    stored: counts.stored ?? 0,
    lost: counts.lost ?? 0,
    doubled: counts.doubled ?? 0,
    duplicatesExcused: counts['duplicates excused'] ?? 0,
    forged: counts.forged ?? 0,
    lies: counts.lies ?? 0,
    longestRecoveryS: Math.round(report.longestRecoveryMs / 100) / 10,
    faults: report.injected,
    pairs: report.pairs,
    violations: report.violations.map(({ invariant, what }) => `${invariant}: ${what}`),
  };
}

export async function appendToLedger(entry: Entry): Promise<readonly Entry[]> {
  await mkdir(dirname(file), { recursive: true });
  await appendFile(file, `${JSON.stringify(entry)}\n`);
  const entries = (await readFile(file, 'utf8'))
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as Entry);
  await writeFile(page, pageOf(entries));
  return entries;
}

export function totals(entries: readonly Entry[]) {
  const sum = (pick: (entry: Entry) => number) => entries.reduce((all, entry) => all + pick(entry), 0);
  return {
    runs: entries.length,
    minutes: Math.round(sum(({ minutes }) => minutes)),
    rounds: sum(({ rounds }) => rounds),
    checks: sum(({ checks }) => checks),
    stored: sum(({ stored }) => stored),
    faults: sum(({ faults }) => Object.values(faults).reduce((all, count) => all + count, 0)),
    lies: sum(({ lies }) => lies),
    lost: sum(({ lost }) => lost),
    doubled: sum(({ doubled }) => doubled),
    duplicatesExcused: sum(({ duplicatesExcused = 0 }) => duplicatesExcused),
    forged: sum(({ forged }) => forged),
    longestRecoveryS: Math.max(0, ...entries.map(({ longestRecoveryS }) => longestRecoveryS)),
    pairs: new Set(entries.flatMap(({ pairs }) => pairs)).size,
  };
}

function pageOf(entries: readonly Entry[]): string {
  const all = totals(entries);
  const faults = new Map<string, number>();
  for (const entry of entries) {
    for (const [name, count] of Object.entries(entry.faults))
      faults.set(name, (faults.get(name) ?? 0) + count);
  }
  const rows = entries.map(
    (entry) =>
      `| ${entry.at.slice(0, 16).replace('T', ' ')} | ${entry.version} | ${entry.seed} | ${entry.minutes} | ${entry.rounds} | ${entry.checks} | ${entry.stored} | ${entry.lost} | ${entry.doubled} | ${entry.forged} | ${entry.longestRecoveryS} | ${entry.violations.join('; ') || 'none'} |`,
  );
  return `# What the fault machine saw

Each line is a run of \`npm run chaos\`, appended by itself; runs that found something stand here too. How it works:
[chaos.md](chaos.md).

In all: ${all.runs} runs, ${all.minutes} minutes, ${all.rounds} rounds, ${all.faults} faults and ${all.pairs} pairs of them,
${all.checks} checks made, ${all.stored} results stored, ${all.lies} lies told; ${all.lost} lost, ${all.doubled} doubled
(and ${all.duplicatesExcused} duplicates of probes whose spool was spoilt, refused as such), ${all.forged} forged; the longest recovery took ${all.longestRecoveryS} s.

| fault | times |
| --- | ---: |
${[...faults]
  .sort(([a], [b]) => (a < b ? -1 : 1))
  .map(([name, count]) => `| ${name} | ${count} |`)
  .join('\n')}

| when (UTC) | version | seed | minutes | rounds | checks | stored | lost | doubled | forged | longest recovery, s | violations |
| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- |
${rows.join('\n')}
`;
}
