// npm run bench: figures beside their budget, their peer and the raw limit, all measured in one run.
import { parseArgs } from 'node:util';
import { benchCheck } from './check-bench.ts';
import { benchMemory } from './memory-bench.ts';
import { type Row, tableOf } from './report.ts';
import { benchSchedule } from './schedule-bench.ts';

const benches: Readonly<Record<string, (seconds: number, say: (line: string) => void) => Promise<Row[]>>> = {
  check: benchCheck,
  schedule: benchSchedule,
  memory: benchMemory,
};

const usage = `npm run bench -- [${Object.keys(benches).join('|')}]... [--seconds 8] [--json]

  check      CPU and latency of HTTP and HTTPS checks, beside blackbox_exporter and node's own client
  schedule   lateness and CPU of the schedule at 2,000 checks a second
  memory     a whole probe with 10,000 endpoints at 500 checks a second: memory, and CPU a check with spool and delivery

Without a name all of them. --json prints {bench, what, value, unit, peer, limit, budget, within} a line.
The exit code is 1 where a figure is over its budget. Loads to try by hand: parallax bench target|endpoints.`;

function readArguments(): { names: string[]; seconds: number; json: boolean } | string {
  try {
    const { values, positionals } = parseArgs({
      allowPositionals: true,
      options: {
        seconds: { type: 'string', default: '8' },
        json: { type: 'boolean', default: false },
        help: { type: 'boolean', short: 'h', default: false },
      },
    });
    const seconds = Number(values.seconds);
    const unknown = positionals.find((name) => !Object.hasOwn(benches, name));
    if (values.help) return '';
    if (unknown !== undefined) return `there is no bench '${unknown}'`;
    if (!(seconds >= 1 && seconds <= 600)) return `--seconds ${values.seconds}: from 1 to 600`;
    return { names: positionals.length > 0 ? positionals : Object.keys(benches), seconds, json: values.json };
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
    const measured =
      (await benches[name]?.(given.seconds, (line) => console.error(`${name}: ${line}`))) ?? [];
    rows.push(...measured);
    if (given.json) for (const each of measured) console.log(JSON.stringify(each));
  }
  if (!given.json) console.log(tableOf(rows));
  return rows.some(({ within }) => within === false) ? 1 : 0;
}

process.exitCode = await main();
