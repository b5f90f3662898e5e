import { setTimeout as wait } from 'node:timers/promises';
import { Command } from 'commander';
import {
  type CliContext,
  Failed,
  jsonLine,
  paint,
  type Terminal,
  table,
  UsageError,
} from '../../shared/command-line.ts';
import { factsBrief } from '../../shared/facts-words.ts';
import type { Result } from '../../shared/result.ts';
import { drawEvidence, type NamedEvidence } from './evidence-view.ts';
import { connectHub, type HubClient, HubRefusal } from './hub-client.ts';

type NamedResult = Omit<Result, 'regionId'> & {
  readonly endpoint: string;
  readonly region: string;
  readonly probe: string | null;
};

interface Page {
  readonly results: readonly NamedResult[];
  readonly cursor: string | null;
}

interface EvidencePage {
  readonly evidence: readonly NamedEvidence[];
  readonly cursor: string | null;
}

interface ResultsFlags {
  readonly region?: string;
  readonly limit?: string;
  readonly evidence?: true;
  readonly follow?: true;
  readonly json?: true;
}

const followMs = 1000;
/** A probe may be slow to deliver: what was due so long before the newest is still looked for. */
const lateUs = 120_000_000;
const pageSize = 1000;
const evidencePageSize = 200;

export function resultsCommand({ terminal, env, cwd, signal }: CliContext): Command {
  return new Command('results')
    .description("show or follow an endpoint's results, newest first")
    .argument('<endpoint>', 'its name')
    .option('--region R', 'as this region sees it')
    .option('--limit N', 'how many results (default: 20; with --evidence 3)')
    .option('--evidence', 'what was seen when it failed: request, answer, certificates (kept 7 days)')
    .option('--follow', 'go on with what comes, oldest first, until Ctrl-C')
    .option('--json', 'one result a line, as JSON')
    .addHelpText(
      'after',
      `
Examples:
  parallax results shop
  parallax results shop --region eu-west --follow
  parallax results shop --evidence
  parallax results shop --limit 10000 --json | jq .timings.total`,
    )
    .action(async (endpoint: string, flags: ResultsFlags) => {
      const { region, evidence, follow, json } = flags;
      const { limit = evidence ? '3' : '20' } = flags;
      if (!/^(0|[1-9]\d{0,6})$/.test(limit))
        throw new UsageError(`--limit ${limit}: write a whole number, like 20`);
      if (limit === '0' && !follow)
        throw new UsageError('--limit 0 shows nothing: it goes with --follow, for what is new');
      if (evidence && follow)
        throw new UsageError(
          '--evidence shows what there is: without --follow, which shows results as they come',
        );
      const hub = await connectHub(env, cwd, signal);
      const query = { endpoint, region };
      if (evidence) {
        await showEvidence(hub, query, Number(limit), terminal, json ?? false);
        return;
      }
      const show = shower(terminal, json ?? false);
      const newest = await read(hub, query, Number(limit), json && !follow ? show : () => undefined);
      if (!follow) {
        if (!json) show(newest);
        if (newest.length === 0 && !json) terminal.err(`no results of ${endpoint} yet\n`);
        return;
      }
      show(newest.toReversed());
      const complain = (line: string) => terminal.err(`${line}\n`);
      await followOn(() => connectHub(env, cwd, signal), query, newest, show, complain, signal);
    });
}

type Query = Readonly<Record<string, string | number | undefined>>;
type Show = (results: readonly NamedResult[]) => void;

async function showEvidence(
  hub: HubClient,
  query: Query,
  limit: number,
  terminal: Terminal,
  json: boolean,
): Promise<void> {
  let shown = 0;
  let cursor: string | undefined;
  while (shown < limit) {
    const size = Math.min(limit - shown, evidencePageSize);
    const page: EvidencePage = await hub.get('/api/v1/evidence', { ...query, limit: size, cursor });
    for (const one of page.evidence) {
      terminal.out(json ? jsonLine(one) : `${shown > 0 ? '\n' : ''}${drawEvidence(terminal, one)}`);
      shown += 1;
    }
    if (page.cursor === null) break;
    cursor = page.cursor;
  }
  if (shown === 0 && !json) terminal.err(`${query.endpoint} has not failed in the last 7 days\n`);
}

/** The newest `limit`, page by page; `eachPage` sees them as they come. */
async function read(hub: HubClient, query: Query, limit: number, eachPage: Show): Promise<NamedResult[]> {
  const results: NamedResult[] = [];
  let cursor: string | undefined;
  while (results.length < limit) {
    const size = Math.min(limit - results.length, pageSize);
    const page: Page = await hub.get('/api/v1/results', { ...query, limit: size, cursor });
    eachPage(page.results);
    results.push(...page.results);
    if (page.cursor === null) break;
    cursor = page.cursor;
  }
  return results;
}

/**
 * Looks each second for what is not shown yet, also for what is late; ends without an error when it is told to. A hub
 * that is away is waited for, and told of once: it may come back elsewhere, as one of `npm start` does.
 */
async function followOn(
  connect: () => Promise<HubClient>,
  query: Query,
  shown: readonly NamedResult[],
  show: Show,
  complain: (line: string) => void,
  signal: AbortSignal,
): Promise<void> {
  let hub = await connect();
  let away = false;
  let seen = new Map(shown.map((result) => [keyOf(result), result.scheduledAt]));
  const instants = shown.map(({ scheduledAt }) => scheduledAt);
  const beganUs = instants.length > 0 ? Math.min(...instants) : Date.now() * 1000;
  let newestUs = Math.max(beganUs, ...instants);
  while (!signal.aborted) {
    try {
      await wait(followMs, undefined, { signal });
      if (away) hub = await connect();
      const from = Math.max(beganUs, newestUs - lateUs);
      const found = await read(hub, { ...query, from }, Number.MAX_SAFE_INTEGER, () => undefined);
      const fresh = found.filter((result) => !seen.has(keyOf(result))).toReversed();
      if (away) complain('the hub is back');
      away = false;
      show(fresh);
      newestUs = Math.max(newestUs, ...fresh.map(({ scheduledAt }) => scheduledAt));
      for (const result of fresh) seen.set(keyOf(result), result.scheduledAt);
      seen = new Map([...seen].filter(([, scheduledAt]) => scheduledAt >= newestUs - 2 * lateUs));
    } catch (error) {
      if (signal.aborted) return;
      if (!isAway(error)) throw error;
      if (!away) complain(`${error instanceof Error ? error.message : error} Waiting for it`);
      away = true;
    }
  }
}

/** No answer, or one that says "not now"; a refusal of what is asked stays one. */
function isAway(error: unknown): boolean {
  if (error instanceof HubRefusal) return error.status >= 500;
  return error instanceof Failed;
}

function keyOf({ region, scheduledAt, probeId }: NamedResult): string {
  return `${region}|${scheduledAt}|${probeId}`;
}

const colours = { up: 'green', degraded: 'yellow', down: 'red', skipped: 'dim' } as const;
/** Lines that come one by one share these widths, as far as they go. */
const head = ['DUE (UTC)', 'REGION', 'OUTCOME', 'TOTAL', 'STATUS', 'PROBE', 'WHAT'];

function shower(terminal: Terminal, json: boolean): Show {
  if (json) return (results) => terminal.out(results.map(jsonLine).join(''));
  let widths: readonly number[] = [];
  let begun = false;
  return (results) => {
    if (results.length === 0) return;
    const rows = results.map(rowOf);
    widths = head.map((title, column) =>
      Math.max(title.length, widths[column] ?? 0, ...rows.map((row) => row[column]?.length ?? 0)),
    );
    const padded = rows.map((row) =>
      row.map((cell, column) => cell.padEnd(column === head.length - 1 ? 0 : (widths[column] ?? 0))),
    );
    const text = table(terminal, head, padded, (cell, column) => {
      const outcome = cell.trim() as keyof typeof colours;
      return column === 2 && outcome in colours ? paint(terminal, colours[outcome], cell) : cell;
    });
    terminal.out(begun ? text.slice(text.indexOf('\n') + 1) : text);
    begun = true;
  };
}

function rowOf(result: NamedResult): string[] {
  const { scheduledAt, region, outcome, timings, status, probe, failure, suspect, kind, attempts, facts } =
    result;
  const notes = [
    failure && `${failure.code}${failure.message ? ` ${failure.message}` : ''}`,
    suspect ? 'suspect' : null,
    kind === 'slot' ? null : kind,
    attempts > 1 ? `${attempts} attempts` : null,
    facts && factsBrief(facts),
  ];
  return [
    new Date(scheduledAt / 1000).toISOString().slice(0, 23).replace('T', ' '),
    region,
    outcome,
    outcome === 'skipped' ? '' : milliseconds(timings.total),
    status === null ? '' : String(status),
    probe ?? String(result.probeId),
    notes.filter((note) => note !== null && note !== '').join(', '),
  ];
}

export function milliseconds(us: number): string {
  const ms = us / 1000;
  return `${ms < 10 ? ms.toFixed(2) : ms < 100 ? ms.toFixed(1) : Math.round(ms)} ms`;
}
