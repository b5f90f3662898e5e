import { Command } from 'commander';
import {
  type CliContext,
  Failed,
  jsonLine,
  paint,
  printable,
  table,
  UsageError,
} from '../../shared/command-line.ts';
import { formatDuration, parseDuration } from '../../shared/duration.ts';
import type { HubClient } from './hub-client.ts';
import { everyPage } from './pages.ts';

interface Side {
  readonly id: number;
  readonly name: string;
  readonly region: string;
  readonly results: number;
  readonly suspect: number;
  readonly skipped: number;
}

interface Figures {
  readonly count: number;
  readonly medianUs: number;
  readonly p95Us: number;
}

interface Ratio {
  readonly value: number;
  readonly low: number;
  readonly high: number;
}

interface Said {
  readonly outcome: string;
  readonly code: string | null;
}

interface Comparison {
  readonly a: Side;
  readonly b: Side;
  readonly endpoints: number;
  readonly endpointsLeftOut: number;
  readonly phases: readonly {
    readonly phase: string;
    readonly a: Figures;
    readonly b: Figures;
    readonly ratio: Ratio | null;
  }[];
  readonly outcomes: {
    readonly pairs: number;
    readonly onlyAFails: number;
    readonly onlyBFails: number;
    readonly examples: readonly {
      readonly endpoint: string;
      readonly scheduledAt: number;
      readonly a: Said;
      readonly b: Said;
    }[];
  };
  readonly tooLittle: string | null;
}

interface CompareFlags {
  readonly endpoint?: string;
  readonly since: string;
  readonly json?: true;
}

export function compareCommand({ terminal }: CliContext, connect: () => Promise<HubClient>): Command {
  return new Command('compare')
    .description('compare two probes on the endpoints that both check: times, outcomes, noise')
    .argument('<a>', 'a probe: its id, or its name')
    .argument('<b>', 'the other one')
    .option('--endpoint NAME', 'on this endpoint alone')
    .option('--since DURATION', 'how far back', '1h')
    .option('--json', 'the whole as one JSON object')
    .addHelpText(
      'after',
      `
Both must check the same endpoints: from two regions, or in one with \`replicas: 2\`. Times are compared endpoint by
endpoint; B/A is how many times as long the second takes, with the interval that holds the truth 95 times of 100.

Examples:
  parallax probes compare fra-1 fra-2
  parallax probes compare 7 9 --endpoint shop --since 1d`,
    )
    .action(async (a: string, b: string, { endpoint, since, json }: CompareFlags) => {
      const ms = parseDuration(since);
      if (ms === null || ms < 1000)
        throw new UsageError(`--since ${since}: write it as 30m, 1h or 7d, at least 1s`);
      const hub = await connect();
      const [idA, idB] = await idsOf(hub, a, b);
      const seconds = Math.floor(ms / 1000);
      const found = await hub.get<Comparison>(`/api/v1/probes/${idA}/compare/${idB}`, { endpoint, seconds });
      if (json) return terminal.out(jsonLine(found));
      terminal.out(draw(found, formatDuration(seconds * 1000), terminal));
      if (found.tooLittle !== null) throw new Failed(`too little to compare their times: ${found.tooLittle}`);
    });
}

async function idsOf(hub: HubClient, a: string, b: string): Promise<readonly [number, number]> {
  const isId = (text: string) => /^[1-9]\d{0,15}$/.test(text);
  if (isId(a) && isId(b)) return [Number(a), Number(b)];
  const probes = await everyPage<'probes', { id: number; name: string; status: string }>(
    hub,
    '/api/v1/probes',
    'probes',
  );
  const idOf = (text: string) => {
    if (isId(text)) return Number(text);
    const named = probes.filter(({ name, status }) => name === text && status !== 'revoked');
    if (named.length === 1 && named[0]) return named[0].id;
    throw new UsageError(
      named.length === 0
        ? `there is no probe ${text}: parallax probes list shows them`
        : `${named.length} probes are called ${text}: name it by its id (${named.map(({ id }) => id).join(', ')})`,
    );
  };
  return [idOf(a), idOf(b)];
}

function draw(
  { a, b, endpoints, endpointsLeftOut, phases, outcomes }: Comparison,
  since: string,
  terminal: CliContext['terminal'],
): string {
  const who = ({ id, name, region }: Side) => `${printable(name)} (${region}, ${id})`;
  const left = endpointsLeftOut > 0 ? `, ${endpointsLeftOut} more left out` : '';
  const lines = [
    `A ${who(a)}\nB ${who(b)}\n${endpoints} endpoint${endpoints === 1 ? '' : 's'} that both measured in the last ${since}${left}\n`,
  ];
  if (phases.length > 0) {
    const head = ['PHASE', 'A MEDIAN', 'B MEDIAN', 'A P95', 'B P95', 'B/A', '95% INTERVAL', 'RESULTS'];
    const rows = phases.map(({ phase, a: ofA, b: ofB, ratio }) => [
      phase,
      ms(ofA.medianUs),
      ms(ofB.medianUs),
      ms(ofA.p95Us),
      ms(ofB.p95Us),
      ratio ? ratio.value.toFixed(2) : '',
      ratio ? `${ratio.low.toFixed(2)} to ${ratio.high.toFixed(2)}${isPlain(ratio) ? ' *' : ''}` : 'too few',
      `${ofA.count}, ${ofB.count}`,
    ]);
    lines.push(
      table(terminal, head, rows, (cell, column, row) =>
        column === 6 && phases[row]?.ratio && isPlain(phases[row].ratio)
          ? paint(terminal, 'yellow', cell)
          : cell,
      ),
    );
    lines.push('* they differ: the interval does not hold 1\n');
  }
  const { pairs, onlyAFails, onlyBFails, examples } = outcomes;
  lines.push(
    pairs === 0
      ? 'no slot that both ran\n'
      : `${pairs} slots that both ran: only A fails in ${onlyAFails}, only B in ${onlyBFails}\n`,
  );
  for (const { endpoint, scheduledAt, a: saidA, b: saidB } of examples) {
    const at = new Date(scheduledAt / 1000).toISOString().slice(0, 19).replace('T', ' ');
    lines.push(`  ${at}  ${printable(endpoint)}: A ${words(saidA)}, B ${words(saidB)}\n`);
  }
  const share = ({ results, suspect, skipped }: Side) =>
    `${results} results, ${percent(suspect, results)} suspect, ${percent(skipped, results)} skipped`;
  lines.push(`A: ${share(a)}\nB: ${share(b)}\n`);
  return lines.join('\n');
}

const words = ({ outcome, code }: Said) => (code === null ? outcome : `${outcome} (${code})`);
/** They differ, as far as one can say. */
const isPlain = ({ low, high }: Ratio) => low > 1 || high < 1;
const ms = (us: number) => `${(us / 1000).toFixed(us < 10_000 ? 2 : 1)} ms`;
const percent = (part: number, of: number) => (of === 0 ? '0%' : `${((100 * part) / of).toFixed(1)}%`);
