import { join } from 'node:path';
import { openDatabase } from '../../../hub/store/database.ts';
import { startChild } from '../child.ts';
import { type Row, row } from '../report.ts';
import { copyFrom, copyOut, findPsql, removeCopy } from './psql-copy.ts';
import type { StoreFigures, StoreTask } from './store-child.ts';
import { type BenchTable, openTable, serverSettings, type TableSize } from './table.ts';
import { type ServerFigures, serverFigures, since } from './wal-figures.ts';

export interface IngestBenchOptions {
  readonly rows: number;
  readonly pairs: number;
  /** The table is kept here for the next run. */
  readonly keepDir: string;
  /** Long enough for two checkpoints. */
  readonly seconds: number;
  readonly lanes: number;
  /** Flags for the measured process's Node, such as --cpu-prof. */
  readonly flags?: readonly string[];
}

type Say = (line: string) => void;

export const regions = 10;
const budget = { rowsPerSecond: 80_000, walBytes: 600 } as const;

/** The hub's own store path on a large table, and `psql \copy` of the same rows into an equal one. */
export async function benchIngest(options: IngestBenchOptions, say: Say): Promise<Row[]> {
  const size = sizeOf(options.rows, options.pairs);
  say(
    `PostgreSQL with ${Object.entries(serverSettings)
      .map((one) => one.join('='))
      .join(' ')}`,
  );
  const table = await openTable(size, options.keepDir, say);
  try {
    const ours = await measureStore(table, size, options, say);
    const peer = await measureCopy(table, ours, say);
    return rowsOf(`${options.rows / 1e6} M rows of ${options.pairs} pairs`, ours, peer);
  } finally {
    await table.drop('bench_run').catch(() => undefined);
    await table.drop('bench_peer').catch(() => undefined);
    await table.stop();
  }
}

export function sizeOf(rows: number, pairs: number): TableSize {
  return {
    rows,
    endpoints: Math.max(1, Math.round(pairs / regions)),
    regions,
    probes: 10,
    intervalUs: 60_000_000,
  };
}

export interface Measured {
  readonly rows: number;
  readonly seconds: number;
  readonly hubCpuSeconds: number;
  readonly server: ServerFigures;
  /** Share of updates of latest_results that stayed in their page. */
  readonly hot: number;
}

/** In `bench_run`, which stays: its new rows are what the peer is given. */
export async function measureStore(
  table: BenchTable,
  size: TableSize,
  { seconds, lanes, flags = [] }: Pick<IngestBenchOptions, 'seconds' | 'lanes' | 'flags'>,
  say: Say,
): Promise<Measured> {
  const url = await table.copy('bench_run');
  const db = openDatabase({ url, maxConnections: 2, queryTimeoutMs: null });
  try {
    const task: StoreTask = {
      ...size,
      url,
      fromUs: table.nextUs,
      batchSize: 500,
      seconds,
      lanes,
      maxRows: 5000,
    };
    await db.run('checkpoint');
    const before = await serverFigures(db, table.server.pid);
    const file = join(import.meta.dirname, 'store-child.ts');
    const child = startChild(null, process.execPath, [...flags, file, JSON.stringify(task)]);
    const figures = await finalFigures(child, seconds, say);
    const server = since(before, await serverFigures(db, table.server.pid));
    const { hot } = await db.one<{ hot: number }>(
      `select n_tup_hot_upd::float8 / greatest(n_tup_upd, 1) as hot from pg_stat_user_tables
       where relname = 'latest_results'`,
    );
    return { rows: figures.rows, seconds: figures.seconds, hubCpuSeconds: figures.cpuSeconds, server, hot };
  } finally {
    await db.end();
  }
}

async function finalFigures(
  child: ReturnType<typeof startChild>,
  seconds: number,
  say: Say,
): Promise<StoreFigures> {
  const startedMs = performance.now();
  try {
    for (;;) {
      const told = await child.next<Partial<StoreFigures>>((seconds + 60) * 1000);
      if (told.seconds !== undefined) return told as StoreFigures;
      const passed = (performance.now() - startedMs) / 1000;
      if (told.rows !== undefined) say(`${told.rows} rows, ${Math.round(told.rows / passed)} rows/s`);
    }
  } finally {
    await child.stop();
  }
}

/** Null, and said, where there is no psql. */
async function measureCopy(table: BenchTable, ours: Measured, say: Say): Promise<Measured | null> {
  const psql = await findPsql();
  if (psql === null) {
    say('psql is not installed (Debian: apt-get install postgresql-client): nothing to compare with');
    return null;
  }
  say(`${psql}: \\copy of the same ${ours.rows} rows`);
  const run = Object.assign(new URL(table.server.url), { pathname: '/bench_run' }).href;
  // In the order in which they were stored.
  const newRows = `select * from results where scheduled_at >= to_timestamp(${table.nextUs / 1e6}) order by tableoid, ctid`;
  const file = await copyOut(run, newRows, join(table.folder, 'copy'));
  await table.drop('bench_run');
  const url = await table.copy('bench_peer');
  const db = openDatabase({ url, maxConnections: 1, queryTimeoutMs: null });
  try {
    await db.run('checkpoint');
    const before = await serverFigures(db, table.server.pid);
    const seconds = await copyFrom(url, 'results', file);
    const server = since(before, await serverFigures(db, table.server.pid));
    say(
      `${Math.round(ours.rows / seconds)} rows/s, ${Math.round(server.walBytes / ours.rows)} B of WAL a row`,
    );
    return { rows: ours.rows, seconds, hubCpuSeconds: 0, server, hot: 1 };
  } finally {
    await db.end();
    await removeCopy(file);
  }
}

export function rowsOf(what: string, ours: Measured, peer: Measured | null): Row[] {
  const of = (
    name: string,
    unit: string,
    value: (of: Measured) => number,
    more: { budget?: number; atLeast?: boolean } = {},
  ) =>
    row({
      bench: 'ingest',
      what: `${name}: ${what}`,
      value: value(ours),
      unit,
      peer: peer && value(peer),
      limit: null,
      budget: null,
      ...more,
    });
  const cpu = (m: Measured) => ((m.hubCpuSeconds + m.server.cpuSeconds) * 1e6) / m.rows;
  return [
    of('stored', 'rows/s', (m) => m.rows / m.seconds, { budget: budget.rowsPerSecond, atLeast: true }),
    of('WAL a row', 'B', (m) => m.server.walBytes / m.rows, { budget: budget.walBytes }),
    of('CPU a row, PostgreSQL', 'us', (m) => (m.server.cpuSeconds * 1e6) / m.rows),
    of('CPU a row, hub', 'us', (m) => (m.hubCpuSeconds * 1e6) / m.rows),
    of('what two cores could do', 'rows/s', (m) => 2e6 / cpu(m)),
    of('page images a row', '', (m) => m.server.pageImages / m.rows),
    of('checkpoints', '', (m) => m.server.checkpoints),
    of('newest results updated in their page', '%', (m) => m.hot * 100),
  ];
}
