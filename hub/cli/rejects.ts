import { Command } from 'commander';
import { type CliContext, jsonLine, paint, printable, table, UsageError } from '../../shared/command-line.ts';
import { parseDuration } from '../../shared/duration.ts';
import { ago } from './ages.ts';
import { connectHub, type HubClient } from './hub-client.ts';

interface Whose {
  readonly reason: string;
  readonly probeId: number | null;
  readonly probe: string | null;
  readonly region: string | null;
}
interface Count extends Whose {
  readonly count: number;
  readonly means: string;
  readonly advice: string;
}
interface Sample extends Whose {
  readonly id: number;
  readonly at: string;
  readonly detail: string;
  readonly seq: number | null;
}
interface Hole {
  readonly stream: string;
  readonly probeId: number;
  readonly probe: string;
  readonly fromSeq: number;
  readonly toSeq: number;
}
interface Answer {
  readonly counts: readonly Count[];
  readonly samples: readonly Sample[];
  readonly holes: readonly Hole[];
}
interface Options {
  readonly probe?: string;
  readonly reason?: string;
  readonly region?: string;
  readonly since: string;
  readonly samples?: true;
  readonly json?: true;
}

export function rejectsCommand({ terminal, env, cwd, signal }: CliContext): Command {
  return new Command('rejects')
    .description('show what the hub refused, of which probe, why, and what to do')
    .option('--probe P', 'of this probe only: its name or id')
    .option('--region R', 'of probes of this region only')
    .option('--reason R', 'for this reason only')
    .option('--since AGE', 'from so long ago, with the whole hour in which that was', '1h')
    .option('--samples', 'the newest of them one by one, with what was wrong')
    .option('--json', 'one JSON object a line: counts by the hour, then samples, then holes in streams')
    .addHelpText(
      'after',
      `
Examples:
  parallax rejects
  parallax rejects --probe fra-1 --since 1d --samples
  parallax rejects --json | jq 'select(.type == "count" and .reason == "future")'

What was refused is kept for samples, as far as there is room: GET /api/v1/rejects/ID/content`,
    )
    .action(async (options: Options) => {
      const ageMs = parseDuration(options.since);
      if (ageMs === null || ageMs > 366 * 86_400_000) {
        throw new UsageError(`--since ${options.since}: an age such as 30m, 6h or 2d`);
      }
      const hub = await connectHub(env, cwd, signal);
      const answer = await read(hub, options, ageMs);
      if (options.json) return terminal.out(asLines(answer));
      terminal.out(draw(answer, options));
    });

  function draw({ counts, samples, holes }: Answer, { samples: wanted, since }: Options): string {
    const parts: string[] = [];
    const sums = sumsOf(counts);
    if (sums.length === 0) parts.push(`nothing was refused in the last ${since}\n`);
    else {
      const rows = sums.map((one) => [
        one.count.toLocaleString('en-US'),
        nameOf(one),
        one.region ?? '',
        one.reason,
        one.means,
      ]);
      parts.push(table(terminal, ['COUNT', 'PROBE', 'REGION', 'REASON', 'WHAT'], rows));
      const advice = new Map(sums.map((one) => [one.reason, one.advice]));
      const lines = [...advice].map(([reason, text]) => `${paint(terminal, 'bold', reason)}: ${text}\n`);
      parts.push(`\n${lines.join('')}`);
    }
    if (holes.length > 0) {
      const rows = holes.map(({ probe, probeId, stream, fromSeq, toSeq }) => [
        `${probe} #${probeId}`,
        fromSeq === toSeq ? `batch ${fromSeq}` : `batches ${fromSeq} to ${toSeq}`,
        stream,
      ]);
      parts.push(`\n${table(terminal, ['PROBE', 'MISSING', 'STREAM'], rows)}`);
      parts.push('what is missing is sent again by itself within minutes, or told by a gap record\n');
    }
    if (wanted) {
      const now = Date.now();
      const rows = samples.map((one) => [
        String(one.id),
        ago(one.at, now),
        nameOf(one),
        one.reason,
        one.seq === null ? '' : String(one.seq),
        one.detail,
      ]);
      parts.push(`\n${table(terminal, ['ID', 'WHEN', 'PROBE', 'REASON', 'SEQ', 'DETAIL'], rows)}`);
    }
    return parts.join('');
  }
}

const nameOf = ({ probe, probeId }: Whose) =>
  probeId === null ? 'nobody proven' : printable(`${probe ?? 'deleted'} #${probeId}`);

async function read(hub: HubClient, options: Options, ageMs: number): Promise<Answer> {
  const { probe, reason, region, samples, json } = options;
  return hub.get<Answer>('/api/v1/rejects', {
    probe,
    reason,
    region,
    since: new Date(Date.now() - ageMs).toISOString(),
    limit: samples ? (json ? 200 : 20) : 0,
  });
}

function asLines({ counts, samples, holes }: Answer): string {
  return [
    ...counts.map((one) => jsonLine({ type: 'count', ...one })),
    ...samples.map((one) => jsonLine({ type: 'sample', ...one })),
    ...holes.map((one) => jsonLine({ type: 'hole', ...one })),
  ].join('');
}

/** Over all hours, most first. */
function sumsOf(counts: readonly Count[]): Count[] {
  const sums = new Map<string, Count>();
  for (const one of counts) {
    const key = `${one.probeId} ${one.reason}`;
    sums.set(key, { ...one, count: one.count + (sums.get(key)?.count ?? 0) });
  }
  return [...sums.values()].sort((a, b) => b.count - a.count);
}
