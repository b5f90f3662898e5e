import { join } from 'node:path';
import { type Row, row } from '../report.ts';
import { type Measured, measureStore, sizeOf } from './ingest-bench.ts';
import { openTable } from './table.ts';
import { verifyCost } from './verify-cost.ts';

export interface IngestGrowthOptions {
  readonly keepDir: string;
  /** Each size is measured for so long. */
  readonly seconds: number;
  /** The largest history, and rows of the table in which endpoints grow. */
  readonly rows: number;
}

type Say = (line: string) => void;

interface Size {
  readonly pairs: number;
  readonly rows: number;
}

/** What a result costs ingest as endpoints, history and probes grow; three sizes each. */
export async function benchIngestGrowth(options: IngestGrowthOptions, say: Say): Promise<Row[]> {
  const quarter = Math.round(options.rows / 4);
  const rows: Row[] = [];
  for (const [axis, sizes] of [
    ['pairs', [10_000, 100_000, 1_000_000].map((pairs): Size => ({ pairs, rows: quarter }))],
    ['rows there before', [0, quarter, options.rows].map((each): Size => ({ pairs: 1_000_000, rows: each }))],
  ] as const) {
    let first: Measured | null = null;
    for (const size of sizes) {
      const measured = await measureAt(size, options, say);
      first ??= measured;
      const at = axis === 'pairs' ? size.pairs : size.rows;
      rows.push(...rowsOf(`${at} ${axis}`, measured, first));
    }
  }
  const full = verifyCost(500);
  for (const batchSize of [500, 30, 3]) {
    const { batchUs, resultUs } = batchSize === 500 ? full : verifyCost(batchSize);
    const what = `${batchSize} a batch (30,000 results/s from ${Math.round((30_000 * 10) / batchSize)} probes)`;
    rows.push(
      figure(`CPU a batch to verify: ${what}`, batchUs, full.batchUs),
      figure(`CPU a result to verify: ${what}`, resultUs, full.resultUs),
    );
  }
  return rows;
}

async function measureAt({ pairs, rows }: Size, options: IngestGrowthOptions, say: Say): Promise<Measured> {
  say(`${rows} rows of ${pairs} pairs`);
  const size = sizeOf(rows, pairs);
  const table = await openTable(size, join(options.keepDir, `growth-${pairs}-${rows}`), say);
  try {
    return await measureStore(table, size, { seconds: options.seconds, lanes: 2 }, () => undefined);
  } finally {
    await table.drop('bench_run').catch(() => undefined);
    await table.stop();
  }
}

function rowsOf(what: string, of: Measured, first: Measured): Row[] {
  const database = (m: Measured) => (m.server.cpuSeconds * 1e6) / m.rows;
  const hub = (m: Measured) => (m.hubCpuSeconds * 1e6) / m.rows;
  const wal = (m: Measured) => m.server.walBytes / m.rows;
  return [
    figure(`CPU a row, PostgreSQL: ${what}`, database(of), database(first)),
    figure(`CPU a row, hub: ${what}`, hub(of), hub(first)),
    figure(`WAL a row: ${what}`, wal(of), wal(first), 'B'),
    figure(`rows/s: ${what}`, of.rows / of.seconds, first.rows / first.seconds, 'rows/s'),
  ];
}

/** `limit` is the smallest size: the ratio beside it is how the cost has grown. */
function figure(what: string, value: number, smallest: number, unit = 'us'): Row {
  return row({ bench: 'ingest-growth', what, value, unit, peer: null, limit: smallest, budget: null });
}
