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
import { parseBytes } from '../../shared/duration.ts';
import type { HubKafkaConfig } from '../config.ts';
import { createHubLog } from '../hub-log.ts';
import { commandOf, type PlanTerms, type Step } from '../ingest/cluster-plan.ts';
import { type ClusterSetup, openSetup } from '../ingest/cluster-setup.ts';
import { readKafkaSettings } from '../read-store-config.ts';
import { readKafkaCommand } from './read-settings.ts';

const help = `
Reads KAFKA_* as the hub does, with the credentials of whoever may administer the cluster: KAFKA_CERT and KAFKA_KEY, or
KAFKA_SASL_*. The hub itself needs no such rights, and gets none.

Examples:
  parallax --env-file admin.env kafka setup --hub-principal User:parallax-hub         shows what is missing
  parallax --env-file admin.env kafka setup --hub-principal User:parallax-hub --yes   does it

Without --yes nothing is changed: what is missing is shown with the commands of Kafka's own tools that do the same, to be
given to whoever runs the cluster; the exit code is 1 then. What is there is left as it is; nothing is ever removed.

Probes get one right, to write to the two topics, all together: each batch counts only with its probe's signature. The
quota for probes is the cluster's default for users: where others use the cluster, look at it, or take --no-quotas.`;

interface SetupFlags {
  readonly hubPrincipal?: string;
  readonly probePrincipal?: readonly string[];
  readonly probeRate: string;
  readonly quotas: boolean;
  readonly yes?: true;
  readonly json?: true;
}

export function kafkaSetupCommand(context: CliContext): Command {
  return new Command('setup')
    .description('topics, ACLs and quotas on a cluster that others run: shows what is missing first')
    .option('--hub-principal PRINCIPAL', 'what the brokers take the hub for (default: KAFKA_SASL_USERNAME)')
    .option(
      '--probe-principal PRINCIPAL',
      'who may write results (repeatable; default: User:*, everybody whom the brokers let in)',
      (value: string, before: readonly string[] = []) => [...before, value],
    )
    .option('--probe-rate SIZE', 'bytes a second that one probe may send', '1MiB')
    .option('--no-quotas', 'leave quotas alone')
    .option('--yes', 'do it')
    .option('--json', 'one JSON object a line')
    .addHelpText('after', help)
    .action((flags: SetupFlags) => setUp(context, flags));
}

async function setUp({ env, terminal, signal }: CliContext, flags: SetupFlags): Promise<void> {
  const { kafka: config, environment } = readKafkaCommand(() => readKafkaSettings(env));
  const terms = termsOf(config, environment, flags);
  const setup = openSetup(config, createHubLog('silent', terminal.err));
  const where = `Kafka at ${config.brokers.join(', ')}`;
  const { clusterId, steps } = await setup.plan(terms).catch((error: unknown) => {
    throw new Failed(`${where}: ${setup.reasonOf(error)}`, { cause: error });
  });
  if (!flags.json) terminal.out(`${where}, cluster ${clusterId}\n\n${stepTable(terminal, steps)}`);
  if (terms.hubPrincipal === null) {
    terminal.err('parallax: nobody gets the rights of the hub: --hub-principal says who it is\n');
  }
  const open = steps.filter(({ state }) => state === 'missing' || state === 'unknown');
  if (flags.yes) {
    const left = await applyAll(setup, open, flags, terminal, signal);
    if (left.length === 0) return;
    tellCommands(terminal, left, config, flags);
    throw new Failed(`${left.length} of ${steps.length} could not be done`);
  }
  if (flags.json) {
    terminal.out(steps.map((step) => jsonLine(lineOf(step, config, step.state))).join(''));
  }
  if (open.length === 0) return;
  tellCommands(terminal, open, config, flags);
  throw new Failed(openText(open, steps.length));
}

function openText(open: readonly Step[], all: number): string {
  const unseen = open.filter(({ state }) => state === 'unknown').length;
  const missing = open.length - unseen;
  const parts = [
    ...(missing > 0 ? [`${missing} of ${all} are missing: with --yes they are made`] : []),
    ...(unseen > 0 ? [`${unseen} of ${all} cannot be seen with these credentials: use an admin's`] : []),
  ];
  return parts.join('; ');
}

/** Resolves to what could not be done. Each is tried: what one credential may do another may not. */
async function applyAll(
  setup: ClusterSetup,
  steps: readonly Step[],
  { json }: SetupFlags,
  terminal: Terminal,
  signal: AbortSignal,
): Promise<Step[]> {
  const left: Step[] = [];
  for (const step of steps) {
    signal.throwIfAborted();
    const refusal = await setup.apply(step).then(
      () => null,
      (error: unknown) => setup.reasonOf(error),
    );
    if (refusal !== null) left.push(step);
    const state = refusal === null ? 'made' : 'refused';
    if (json) terminal.out(jsonLine({ ...outline(step), state, ...(refusal !== null && { why: refusal }) }));
    else terminal.out(`${state.padEnd(8)} ${step.what}${refusal === null ? '' : `: ${refusal}`}\n`);
  }
  return left;
}

function tellCommands(terminal: Terminal, steps: readonly Step[], config: HubKafkaConfig, flags: SetupFlags) {
  if (flags.json) return;
  const commands = steps.map((step) => `  ${commandOf(step, config.brokers)}\n`);
  terminal.out(
    `\nThe same by Kafka's own tools; admin.properties holds an admin's credentials:\n${commands.join('')}`,
  );
}

const colours = { there: 'green', missing: 'yellow', kept: 'dim', unknown: 'red' } as const;

function stepTable(terminal: Terminal, steps: readonly Step[]): string {
  const rows = steps.map(({ state, what, note }) => [state, note ? `${what} (${note})` : what]);
  return table({ ...terminal, columns: null }, ['STATE', 'WHAT'], rows, (cell, column, row) => {
    const state = steps[row]?.state;
    return column === 0 && state ? paint(terminal, colours[state], cell) : cell;
  });
}

const outline = ({ kind, what, note }: Step) => ({ kind, what, ...(note && { note }) });

function lineOf(step: Step, { brokers }: HubKafkaConfig, state: string): object {
  return { ...outline(step), state, command: commandOf(step, brokers) };
}

function termsOf(config: HubKafkaConfig, env: string, flags: SetupFlags): PlanTerms {
  const { hubPrincipal, probePrincipal = ['User:*'], probeRate, quotas } = flags;
  for (const principal of [...probePrincipal, ...(hubPrincipal ? [hubPrincipal] : [])]) {
    if (!/^User:.+$/.test(principal)) throw new UsageError(`${principal}: write a principal as User:NAME`);
  }
  const rate = parseBytes(probeRate);
  if (rate === null || rate < 1024) throw new UsageError(`--probe-rate ${probeRate}: a size of 1KiB or more`);
  return {
    config,
    env,
    hubPrincipal: hubPrincipal ?? (config.sasl ? `User:${config.sasl.username}` : null),
    probePrincipals: config.probes === null ? [] : probePrincipal,
    probeBytesPerSecond: quotas && config.probes !== null ? rate : null,
  };
}
