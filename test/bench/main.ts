// npm run bench: figures beside their budget, their peer and the raw limit, all measured in one run.
import { parseArgs } from 'node:util';
import { benchCheck } from './check-bench.ts';
import { benchGrowth } from './growth-bench.ts';
import { benchLease } from './lease-bench.ts';
import { benchLiar } from './liar/liar-bench.ts';
import { benchMemory } from './memory-bench.ts';
import { type Row, tableOf } from './report.ts';
import { benchSchedule } from './schedule-bench.ts';
import { benchE2e } from './speed/e2e-bench.ts';
import { benchIngestGrowth } from './speed/growth-bench.ts';
import { benchIngest } from './speed/ingest-bench.ts';
import { benchWire } from './speed/wire-bench.ts';

/** Numbers that flags give; each bench takes what it knows, in the sizes that DESIGN's budgets are for where none is given. */
interface Flags {
  readonly seconds: number | null;
  readonly minutes: number | null;
  readonly rate: number | null;
  readonly probes: number | null;
  readonly endpoints: number | null;
  readonly regions: number | null;
  readonly rows: number | null;
  readonly pairs: number | null;
  readonly keep: string;
}

type Bench = (flags: Flags, say: (line: string) => void) => Promise<Row[]>;

const benches: Readonly<Record<string, Bench>> = {
  check: ({ seconds }, say) => benchCheck(seconds ?? 8, say),
  schedule: ({ seconds }, say) => benchSchedule(seconds ?? 8, say),
  memory: ({ seconds }, say) => benchMemory(seconds ?? 8, say),
  lease: ({ seconds, probes, endpoints, regions }, say) =>
    benchLease(
      {
        seconds: seconds ?? 8,
        probes: probes ?? 10_000,
        endpoints: endpoints ?? 100_000,
        regions: regions ?? 50,
      },
      say,
    ),
  growth: (_, say) => benchGrowth(say),
  liar: ({ seconds, rate }, say) => benchLiar({ seconds: seconds ?? 8, rate: rate ?? 10_000 }, say),
  e2e: ({ minutes, probes, rate, rows, pairs, keep }, say) =>
    benchE2e(
      {
        minutes: minutes ?? 10,
        probes: probes ?? 10,
        rate: rate ?? 30_000,
        rows: rows ?? 20_000_000,
        pairs: pairs ?? 1_000_000,
        keepDir: keep,
      },
      say,
    ),
  wire: (_, say) => benchWire(say),
  ingest: ({ seconds, rows, pairs, keep }, say) =>
    benchIngest(
      {
        rows: rows ?? 20_000_000,
        pairs: pairs ?? 1_000_000,
        keepDir: keep,
        seconds: seconds ?? 130,
        lanes: 2,
      },
      say,
    ),
  'ingest-growth': ({ seconds, rows, keep }, say) =>
    benchIngestGrowth({ seconds: seconds ?? 65, rows: rows ?? 20_000_000, keepDir: keep }, say),
};

/** Minutes each: only where they are named. */
const byNameAlone = new Set(['lease', 'liar', 'growth', 'wire', 'ingest', 'ingest-growth', 'e2e']);

const usage = `npm run bench -- [${Object.keys(benches).join('|')}]... [--seconds 8] [--json]

  check      CPU and latency of HTTP and HTTPS checks, beside blackbox_exporter and node's own client
  schedule   lateness and CPU of the schedule at 2,000 checks a second
  memory     a whole probe with 10,000 endpoints at 500 checks a second: memory, and CPU a check with spool and delivery
  lease      a hub with [--probes 10000] that poll for leases, [--regions 50] and [--endpoints 100000]: at rest, through
             edits and through restarts; about five minutes
  growth     how cost grows with endpoints, regions, probes and history, three sizes each, as a table; about 20 minutes
  liar       one probe that lies in fourteen ways at [--rate 10000] messages a second: what an honest one beside it waits,
             what a lie costs, with the brake and without; about six minutes
  wire       bytes a result between probe and broker, beside JSON with gzip of the same results
  ingest     storing in a table of [--rows 20000000] of [--pairs 1000000] with checkpoints running, beside psql's copy of
             the same rows; the table is built once and kept in [--keep .bench]; about six minutes, the first time more
  e2e        Kafka to verified to stored at [--rate 30000] results a second from [--probes 10] for [--minutes 10], with
             broker and database on the same cores and the table of \`ingest\` there already
  ingest-growth  what a result costs ingest as pairs, history and probes grow, three sizes each; about half an hour the
             first time, as each table is built and kept in [--keep .bench]; --rows 4000000 is quicker

Without a name the first three. --json prints {bench, what, value, unit, peer, limit, budget, within} a line.
The exit code is 1 where a figure is over its budget. Loads to try by hand: parallax bench target|endpoints.`;

/** The most that a flag may say. */
const sizes = {
  seconds: 600,
  minutes: 120,
  rate: 1_000_000,
  probes: 100_000,
  endpoints: 1_000_000,
  regions: 1000,
  rows: 1_000_000_000,
  pairs: 10_000_000,
} as const;

function readArguments(): { names: string[]; flags: Flags; json: boolean } | string {
  try {
    const { values, positionals } = parseArgs({
      allowPositionals: true,
      options: {
        seconds: { type: 'string' },
        minutes: { type: 'string' },
        rate: { type: 'string' },
        probes: { type: 'string' },
        endpoints: { type: 'string' },
        regions: { type: 'string' },
        rows: { type: 'string' },
        pairs: { type: 'string' },
        keep: { type: 'string', default: '.bench' },
        json: { type: 'boolean', default: false },
        help: { type: 'boolean', short: 'h', default: false },
      },
    });
    if (values.help) return '';
    const unknown = positionals.find((name) => !Object.hasOwn(benches, name));
    if (unknown !== undefined) return `there is no bench '${unknown}'`;
    const size = (name: keyof typeof sizes) => {
      const text = values[name];
      if (text === undefined) return null;
      const value = Number(text);
      if (Number.isInteger(value) && value >= 1 && value <= sizes[name]) return value;
      throw new Error(`--${name} ${text}: a whole number from 1 to ${sizes[name]}`);
    };
    const flags: Flags = {
      seconds: size('seconds'),
      minutes: size('minutes'),
      rate: size('rate'),
      probes: size('probes'),
      endpoints: size('endpoints'),
      regions: size('regions'),
      rows: size('rows'),
      pairs: size('pairs'),
      keep: values.keep,
    };
    const names = Object.keys(benches).filter((name) => !byNameAlone.has(name));
    return { names: positionals.length > 0 ? positionals : names, flags, json: values.json };
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

async function main(): Promise<number> {
  const given = readArguments();
  if (typeof given === 'string') {
    if (given) console.error(`bench: ${given}\n`);
    console.log(usage);
    return given ? 2 : 0;
  }
  const rows: Row[] = [];
  for (const name of given.names) {
    const measured = (await benches[name]?.(given.flags, (line) => console.error(`${name}: ${line}`))) ?? [];
    rows.push(...measured);
    if (given.json) for (const each of measured) console.log(JSON.stringify(each));
  }
  if (!given.json) console.log(tableOf(rows));
  return rows.some(({ within }) => within === false) ? 1 : 0;
}

process.exitCode = await main();
