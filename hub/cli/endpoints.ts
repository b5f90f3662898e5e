import { Command, Option } from 'commander';
import { stringify } from 'yaml';
import { type CliContext, Failed, jsonLine, paint, table, UsageError } from '../../shared/command-line.ts';
import type { EndpointDocument } from '../../shared/endpoint.ts';
import { shortDocument } from '../../shared/endpoint-short.ts';
import { type AppliedAnswer, changesText } from './endpoint-changes.ts';
import { locateRefusal, readEndpointFiles } from './endpoint-files.ts';
import { connectHub, HubRefusal } from './hub-client.ts';
import { everyPage } from './pages.ts';

const help = `
  $ parallax endpoints apply monitors.yaml
  $ parallax endpoints apply team/*.yaml --source git:team --prune --dry-run
  $ parallax endpoints diff monitors.yaml          exit code 1 where they differ
  $ parallax endpoints export > monitors.yaml      secrets show as <sealed>, and stay when it is applied
  $ parallax endpoints list --tag team:web

A file (- is standard input):
  endpoints:
    - name: shop
      url: https://shop.example/health
      interval: 30s
      expect: {status: [2xx], body: {matches: [welcome]}}
      request: {bearer: '\${env:SHOP_TOKEN}'}`;

export function endpointsCommand(context: CliContext): Command {
  return new Command('endpoints')
    .description('apply, compare, export or list what is checked')
    .addHelpText('after', `\nExamples:${help}`)
    .addCommand(applyCommand(context))
    .addCommand(diffCommand(context))
    .addCommand(exportCommand(context))
    .addCommand(listCommand(context));
}

interface ApplyFlags {
  readonly source?: string;
  readonly prune?: boolean;
  readonly dryRun?: boolean;
  readonly json?: boolean;
}

function applyCommand(context: CliContext): Command {
  return applyFlags(new Command('apply'))
    .description('make the hub check what the files say: all of it, or nothing')
    .option('--dry-run', 'tell what would change, change nothing')
    .action(async (files: string[], flags: ApplyFlags) => {
      print(context, await apply(context, files, flags), flags);
    });
}

function diffCommand(context: CliContext): Command {
  return applyFlags(new Command('diff'))
    .description('tell what apply would change; exit code 1 where it would change anything')
    .action(async (files: string[], flags: ApplyFlags) => {
      const answer = await apply(context, files, { ...flags, dryRun: true });
      print(context, answer, flags);
      if (answer.changes.length > 0) throw new Failed('');
    });
}

function applyFlags(command: Command): Command {
  return command
    .argument('<files...>', 'YAML or JSON files; - is standard input')
    .option('--source NAME', 'who declares them (default: cli); what is there already keeps its source')
    .option('--prune', 'delete what the source made and the files do not name')
    .option('--json', 'one JSON object a change');
}

/** 100,000 endpoints take the hub tens of seconds. */
const applyTimeoutMs = 300_000;
/** So many take longer than a person waits without a word. */
const manyEndpoints = 2000;

async function apply(
  context: CliContext,
  files: readonly string[],
  flags: ApplyFlags,
): Promise<AppliedAnswer> {
  const { source, prune = false, dryRun = false } = flags;
  if (prune && source === undefined) {
    throw new UsageError('--prune deletes what one source made: name it with --source');
  }
  const endpoints = await readEndpointFiles(files, context);
  const hub = await connectHub(context.env, context.cwd, context.signal);
  if (context.terminal.columns !== null && endpoints.length >= manyEndpoints) {
    context.terminal.err(`${dryRun ? 'comparing' : 'applying'} ${endpoints.length} endpoints …\n`);
  }
  const body = {
    source: source ?? 'cli',
    prune,
    dryRun,
    endpoints: endpoints.map(({ document }) => document),
  };
  try {
    return await hub.send<AppliedAnswer>('POST', '/api/v1/endpoints/apply', body, applyTimeoutMs);
  } catch (error) {
    throw error instanceof HubRefusal ? locateRefusal(error, endpoints) : error;
  }
}

function print({ terminal }: CliContext, answer: AppliedAnswer, { json }: ApplyFlags): void {
  terminal.out(json ? answer.changes.map(jsonLine).join('') : changesText(terminal, answer));
}

interface Endpoint {
  readonly id: number;
  readonly rev: number;
  readonly name: string;
  readonly source: string;
  readonly trusted: boolean;
  readonly document: EndpointDocument | null;
}

interface SelectFlags {
  readonly tag: readonly string[];
  readonly name?: string;
  readonly region?: string;
}

function select(command: Command): Command {
  return command
    .option('--tag NAME[:VALUE]', 'with this tag (repeat it for all of several)', gather, [])
    .option('--name TEXT', 'with this in its name')
    .option('--region R', 'checked from this region');
}

function gather(value: string, before: readonly string[]): readonly string[] {
  return [...before, value];
}

async function fetchEndpoints({ env, cwd, signal }: CliContext, { tag, name, region }: SelectFlags) {
  const hub = await connectHub(env, cwd, signal);
  return everyPage<'endpoints', Endpoint>(hub, '/api/v1/endpoints', 'endpoints', { tag, name, region });
}

function exportCommand(context: CliContext): Command {
  return select(new Command('export'))
    .description('print endpoints as a file that apply takes; secrets as <sealed>')
    .addOption(new Option('--format FORMAT', 'what to print').choices(['yaml', 'json']).default('yaml'))
    .action(async ({ format, ...flags }: SelectFlags & { format: 'yaml' | 'json' }) => {
      const { terminal } = context;
      const found = await fetchEndpoints(context, flags);
      const endpoints = found.flatMap(({ document }) => (document ? [shortDocument(document)] : []));
      const left = found.filter(({ document }) => !document).map(({ name }) => `\n  ${name}`);
      if (left.length > 0)
        terminal.err(`parallax: left out, as the hub did not write them:${left.join('')}\n`);
      const whole = { endpoints };
      // Anchors would be made for equal parts: a file for people repeats them.
      const yaml = () => stringify(whole, { aliasDuplicateObjects: false, lineWidth: 110 });
      terminal.out(format === 'json' ? `${JSON.stringify(whole, null, 2)}\n` : yaml());
    });
}

function listCommand(context: CliContext): Command {
  return select(new Command('list'))
    .description('list endpoints in the order of names')
    .option('--json', 'one JSON object a line')
    .action(async ({ json, ...flags }: SelectFlags & { json?: boolean }) => {
      const { terminal } = context;
      const found = await fetchEndpoints(context, flags);
      if (json) return terminal.out(found.map(jsonLine).join(''));
      const head = ['NAME', 'REV', 'INTERVAL', 'REGIONS', 'SOURCE', 'TAGS', 'URL'];
      terminal.out(
        table(terminal, head, found.map(row), (cell, _column, index) =>
          found[index]?.document?.enabled === false ? paint(terminal, 'dim', cell) : cell,
        ),
      );
    });
}

function row({ name, rev, source, document }: Endpoint): string[] {
  if (!document) return [name, String(rev), '', '', source, '', 'not written by the hub: no probe sees it'];
  const { interval = '', regions = [], tags = {}, url, enabled } = document;
  return [
    name,
    String(rev),
    enabled === false ? 'off' : interval,
    regions.join(',') || 'all',
    source,
    Object.entries(tags)
      .map(([tag, value]) => `${tag}:${value}`)
      .join(','),
    url,
  ];
}
