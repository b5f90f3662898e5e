import { setTimeout as sleep } from 'node:timers/promises';
import { type Row, row } from './report.ts';
import { startCrowd } from './scale/crowd.ts';
import { measureEdit } from './scale/edit.ts';
import type { HubProcess } from './scale/hub-process.ts';
import { type Network, type NetworkSize, openNetwork } from './scale/network.ts';

interface Size extends NetworkSize {
  /** Results of today in the database. */
  readonly history: number;
}

/** What is measured at each size, in the order in which it is drawn. */
const figures = {
  ready: ['start to ready', 's'],
  memory: ['memory of the hub with its probes', 'MB'],
  lease: ['CPU of the hub a lease', 'us'],
  edit: ['one edit in force in all regions', 'ms'],
  firstPage: ['first page /', 'ms'],
  page: ['page /', 'ms'],
  pageCpu: ['CPU of the hub a page /', 'ms'],
  list: ['GET /api/v1/endpoints', 'ms'],
  results: ['GET /api/v1/results of one endpoint', 'ms'],
} as const;
type Figure = keyof typeof figures;

/** One dimension grows, the others stand. */
const usual: Size = { endpoints: 1000, regions: 10, probes: 100, history: 0, seen: true };
const dimensions: readonly (readonly [keyof Omit<Size, 'seen'>, readonly number[]])[] = [
  ['endpoints', [1000, 10_000, 100_000]],
  ['regions', [1, 10, 50]],
  ['probes', [10, 1000, 10_000]],
  ['history', [0, 100_000, 2_000_000]],
];

/** How cost grows with endpoints, regions, probes and history, each at three sizes, as rows and as a table to paste. */
export async function benchGrowth(say: (line: string) => void): Promise<Row[]> {
  const rows: Row[] = [];
  const tables: string[] = [];
  for (const [dimension, sizes] of dimensions) {
    const measured: Record<Figure, number>[] = [];
    for (const value of sizes) {
      say(`${value} ${dimension}`);
      measured.push(await measure({ ...usual, [dimension]: value }, say));
    }
    tables.push(drawn(dimension, sizes, measured));
    for (const [index, value] of sizes.entries()) {
      for (const [name, [what, unit]] of Object.entries(figures)) {
        const figure = measured[index]?.[name as Figure] ?? Number.NaN;
        const sized = `${what}: ${value} ${dimension}`;
        rows.push(
          row({ bench: 'growth', what: sized, value: figure, unit, peer: null, limit: null, budget: null }),
        );
      }
    }
  }
  for (const table of tables) for (const line of table.split('\n')) say(line);
  return rows;
}

function drawn(
  dimension: string,
  sizes: readonly number[],
  measured: readonly Record<Figure, number>[],
): string {
  const round = (value: number | undefined) => Number((value ?? Number.NaN).toPrecision(3));
  const head = [dimension, ...sizes.map(String), 'first to last'];
  const lines = Object.entries(figures).map(([name, [what, unit]]) => {
    const values = measured.map((one) => one[name as Figure]);
    const factor = (values.at(-1) ?? Number.NaN) / (values[0] ?? Number.NaN);
    return [`${what}, ${unit}`, ...values.map((value) => String(round(value))), `${round(factor)}x`];
  });
  return ['', head, head.map(() => '---'), ...lines]
    .map((line) => (typeof line === 'string' ? line : `| ${line.join(' | ')} |`))
    .join('\n');
}

async function measure(size: Size, say: (line: string) => void): Promise<Record<Figure, number>> {
  const network = await openNetwork(size, () => undefined);
  let hub: HubProcess | null = null;
  let crowd: ReturnType<typeof startCrowd> | null = null;
  try {
    hub = await network.startHub(network.port);
    if (size.history > 0) await writeHistory(network, size);
    crowd = startCrowd(network, [network.port], Math.min(8000, size.probes));
    await crowd.untilSettled(size.probes, 300_000);
    await untilQuiet(crowd);
    const [before, leases] = [await hub.figures(), crowd.seconds().length];
    await sleep(16_000);
    const told = crowd.seconds().reduce((sum, each) => sum + each.leases, 0);
    const after = await hub.figures();
    const edit = Math.min(
      ...[(await measureEdit(network, crowd, 1)).ms, (await measureEdit(network, crowd, 2)).ms],
    );
    const [firstPage, page, pageCpu] = await pageFigures(network, hub);
    const measured = {
      ready: hub.readyMs / 1000,
      memory: after.rssMb,
      lease: ((after.cpuSeconds - before.cpuSeconds) * 1e6) / Math.max(1, told),
      edit,
      firstPage,
      page,
      pageCpu,
      list: await medianMs(network, '/api/v1/endpoints?limit=100'),
      results: await medianMs(network, `/api/v1/results?endpoint=${encodeURIComponent('load-0000001')}`),
    };
    say(
      `${leases} s warm; ${JSON.stringify(measured, (_, value) => (typeof value === 'number' ? Math.round(value * 100) / 100 : value))}`,
    );
    return measured;
  } finally {
    await crowd?.stop();
    await hub?.stop().catch(() => undefined);
    await network.stop();
  }
}

/** Results of the last hours, of all pairs in turn: the hub has made today's partition. */
async function writeHistory({ db }: Network, { history, endpoints, regions }: Size): Promise<void> {
  await db.run(
    `insert into results (endpoint_id, region_id, scheduled_at, probe_id, rev, kind, outcome, suspect, truncated,
       attempts, redirects, status, late_by_us, total_us, bytes)
     select 1 + n % $2::int, 1 + (n / $2::int) % $3::int,
       greatest(date_trunc('day', now() at time zone 'utc') at time zone 'utc', now() - interval '20 hours')
         + (n / ($2::int * $3::int)) * interval '1 second', 1, 1, 0, 0, false, false, 1, 0, 200, 100, 40000, 512
     from generate_series(0, $1::int - 1) n on conflict do nothing`,
    [history, endpoints, regions],
  );
  await db.run('analyze results');
}

async function untilQuiet(crowd: ReturnType<typeof startCrowd>): Promise<void> {
  for (let quiet = 0, waited = 0; quiet < 7 && waited < 90; quiet += 1, waited += 1) {
    await sleep(1000);
    if (crowd.seconds().some(({ assignmentBytes }) => assignmentBytes > 0)) quiet = -1;
  }
}

const pages = 8;

async function pageFigures(network: Network, hub: HubProcess): Promise<[number, number, number]> {
  const first = await askedMs(network, '/');
  const before = await hub.figures();
  const startedMs = performance.now();
  const page = await medianMs(network, '/');
  // What the probes cost meanwhile is in it: little, over so short a time.
  const cpuMs = ((await hub.figures()).cpuSeconds - before.cpuSeconds) * 1000;
  return [first, page, Math.min(cpuMs, performance.now() - startedMs) / pages];
}

async function medianMs(network: Network, path: string): Promise<number> {
  const took: number[] = [];
  for (let turn = 0; turn < pages; turn += 1) took.push(await askedMs(network, path));
  return took.sort((a, b) => a - b)[Math.floor(pages / 2)] ?? Number.NaN;
}

async function askedMs({ publicUrl, token }: Network, path: string): Promise<number> {
  const startedMs = performance.now();
  const answer = await fetch(`${publicUrl}${path}`, {
    headers: { authorization: `Bearer ${token}` },
    redirect: 'manual',
  });
  await answer.arrayBuffer();
  if (answer.status !== 200) throw new Error(`${path} answered ${answer.status}`);
  return performance.now() - startedMs;
}
