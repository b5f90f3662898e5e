import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { Command } from 'commander';
import {
  type CliContext,
  Failed,
  jsonLine,
  paint,
  printable,
  type Terminal,
  UsageError,
} from '../../shared/command-line.ts';
import { fileProblemText, parseEndpointFile } from '../../shared/endpoint-document.ts';
import type { Observation } from '../../shared/result.ts';
import { connectHub } from './hub-client.ts';
import { milliseconds } from './results.ts';

interface CheckFlags {
  readonly from: string;
  readonly spec?: string;
  readonly json?: true;
}

type Answered = Observation & {
  readonly region: string;
  readonly probe: string | null;
  readonly suspect: boolean;
};
interface Done {
  readonly answered: number;
  readonly silent: readonly string[];
}

/** `parallax check --from`: the same words as `parallax check`, run by probes. */
export function checkFromCommand({ terminal, env, cwd, signal }: CliContext): Command {
  return new Command('check')
    .description('check a URL now, from probes in these regions')
    .argument('[url]', 'what to check')
    .requiredOption('--from REGIONS', 'names of regions, with commas')
    .option('--spec FILE', 'a file with one endpoint in place of a URL')
    .option('--json', 'one JSON object a line')
    .addHelpText(
      'after',
      `
Each region's probe answers within 10 seconds; nothing is stored. Without --from, \`parallax check\` looks from here.
Exit codes: 0 up everywhere, 1 not, 2 wrong usage.

Examples:
  parallax check --from eu-west,us-east https://shop.example/
  parallax check --from eu-west --spec shop.yaml --json`,
    )
    .action(async (url: string | undefined, { from, spec, json }: CheckFlags) => {
      if ((url === undefined) === (spec === undefined))
        throw new UsageError('give a URL, or a file with --spec');
      const regions = from.split(/[\s,]+/).filter(Boolean);
      if (regions.length === 0) throw new UsageError('--from: name at least one region');
      const body =
        spec === undefined
          ? { regions, url: whole(url ?? '') }
          : { regions, endpoint: await readSpec(spec, cwd, env) };
      const hub = await connectHub(env, cwd, signal);
      let well = true;
      let done: Done | null = null;
      const width = Math.max(6, ...regions.map((region) => region.length));
      if (!json) terminal.out(`${paint(terminal, 'bold', headOf(width))}\n`);
      for await (const { event, data } of hub.events('POST', '/api/v1/checks', body)) {
        if (event === 'ordered') {
          const { empty } = data as { empty: readonly string[] };
          if (empty.length > 0) terminal.err(`no probe is about in ${empty.join(', ')}\n`);
          well &&= empty.length === 0;
        } else if (event === 'result') {
          const answered = data as Answered;
          well &&= answered.outcome === 'up';
          terminal.out(json ? jsonLine(answered) : `${lineOf(terminal, answered, width)}\n`);
        } else if (event === 'done') done = data as Done;
      }
      if (!done) throw new Failed('the hub ended the answer too early: ask again');
      if (done.silent.length > 0) terminal.err(`no answer within 10 s from ${done.silent.join(', ')}\n`);
      if (!well || done.silent.length > 0) throw new Failed('');
    });
}

const columns = ['dns', 'connect', 'tls', 'wait', 'transfer', 'total'] as const;
const colours = { up: 'green', degraded: 'yellow', down: 'red', skipped: 'cyan' } as const;

function headOf(width: number): string {
  return `${'REGION'.padEnd(width)}  ${'OUTCOME'.padEnd(8)}  ${columns.map((name) => name.toUpperCase().padStart(9)).join(' ')}  WHAT`;
}

function lineOf(terminal: Terminal, answered: Answered, width: number): string {
  const { region, outcome, timings, status, remoteIp, failure, suspect } = answered;
  const times = columns.map((name) => phaseText(timings[name]).padStart(9)).join(' ');
  const what = [
    status === null ? null : String(status),
    remoteIp,
    failure && `${failure.code} ${failure.message}`.trim(),
    suspect ? 'suspect' : null,
  ];
  const text = printable(what.filter(Boolean).join(', '));
  return `${region.padEnd(width)}  ${paint(terminal, colours[outcome], outcome.padEnd(8))}  ${times}  ${text}`;
}

const phaseText = (us: number | null) => (us === null ? '' : milliseconds(us));

/** Without a scheme it is what a browser would make of it. */
function whole(url: string): string {
  return /^[a-z][a-z0-9+.-]*:/i.test(url) ? url : `https://${url}`;
}

async function readSpec(file: string, cwd: string, env: CliContext['env']): Promise<unknown> {
  const text = await readFile(resolve(cwd, file), 'utf8').catch((error: NodeJS.ErrnoException) => {
    throw new UsageError(error.code === 'ENOENT' ? `there is no file ${file}` : `${file}: ${error.message}`);
  });
  const read = parseEndpointFile(text, file, env);
  if ('problems' in read) throw new UsageError(read.problems.map(fileProblemText).join('\n'));
  const [only, second] = read.endpoints;
  if (!only || second) throw new UsageError(`${file} must hold one endpoint to be checked from elsewhere`);
  const { secrets: _, ...document } = only.document;
  return document;
}
