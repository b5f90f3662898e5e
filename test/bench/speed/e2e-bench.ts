import { mkdir, mkdtemp, rm, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Broker, startBroker } from '../../../deploy/kafka/broker.ts';
import { findKafka } from '../../../deploy/kafka/java.ts';
import { topicNames } from '../../../hub/ingest/topics.ts';
import { freePort } from '../../../hub/process/port.ts';
import { openDatabase } from '../../../hub/store/database.ts';
import { type BenchChild, startChild } from '../child.ts';
import { cpuSeconds } from '../process-figures.ts';
import { type Row, row } from '../report.ts';
import { sizeOf } from './ingest-bench.ts';
import type { IngestTask, IngestTold } from './ingest-child.ts';
import { type LagPoint, lagSlope } from './lag.ts';
import type { PoolTask } from './pool-child.ts';
import type { ProduceTask } from './produce-child.ts';
import { type BenchTable, openTable } from './table.ts';
import { type ServerFigures, serverFigures, since } from './wal-figures.ts';

export interface E2eBenchOptions {
  readonly minutes: number;
  readonly probes: number;
  /** Results a second that are produced. */
  readonly rate: number;
  /** Rows and pairs of the table that is there before. */
  readonly rows: number;
  readonly pairs: number;
  readonly keepDir: string;
  readonly flags?: readonly string[];
}

type Say = (line: string) => void;

/** INGEST_MAX_ROWS and INGEST_MAX_MS as a hub has them by itself. */
const bounds = { maxRows: 5000, maxMs: 50 } as const;
/** Time to reach an even pace, left out of the slope. */
const warmSeconds = 20;
/** A backlog of a few transactions is no backlog. */
const steady = { slopeShare: 0.01, lagSeconds: 2 } as const;
const lingerSeconds = 10;
/** kafkajs 2.2.4 asks for timers in the past; the hub runs with the same flag. */
const quiet = '--disable-warning=TimeoutNegativeWarning';

/** Kafka to verified to stored, with broker, database and hub on the same cores, at a steady rate. */
export async function benchE2e(options: E2eBenchOptions, say: Say): Promise<Row[]> {
  const { minutes, probes, rate, keepDir } = options;
  const seconds = minutes * 60;
  const size = { ...sizeOf(options.rows, options.pairs), intervalUs: 60_000_000 };
  // A probe seals what it has after ten seconds: few results where there are many probes.
  const batchSize = Math.max(1, Math.min(500, Math.ceil((rate * lingerSeconds) / probes)));
  const load = { ...size, probes, batchSize };
  const jars = await findKafka(process.env, say, AbortSignal.timeout(600_000));
  const table = await openTable(size, keepDir, say);
  const folder = await mkdtemp(join(resolve(keepDir), 'e2e-'));
  let broker: Broker | null = null;
  try {
    const task = { ...load, fromUs: table.nextUs, results: Math.ceil(rate * (seconds + 5)) };
    const file = await preparePool(task, keepDir, say);
    const url = await table.copy('bench_run');
    await addProbes(url, size.probes, probes, size.regions);
    const port = await freePort();
    broker = await startBroker({
      jars,
      port,
      dataDir: folder,
      signal: AbortSignal.timeout(120_000),
      heapMb: 512,
    });
    const run: Run = { table, url, broker, file, load, rate, seconds, flags: options.flags ?? [] };
    return rowsOf(await measure(run, say), run, say);
  } finally {
    await broker?.stop();
    await rm(folder, { recursive: true, force: true });
    await table.drop('bench_run').catch(() => undefined);
    await table.stop();
  }
}

interface Run {
  readonly table: BenchTable;
  readonly url: string;
  readonly broker: Broker;
  readonly file: string;
  readonly load: Omit<PoolTask, 'file' | 'results' | 'fromUs'>;
  readonly rate: number;
  readonly seconds: number;
  readonly flags: readonly string[];
}

interface Measured {
  readonly produced: number;
  readonly batches: number;
  readonly seconds: number;
  readonly points: readonly LagPoint[];
  readonly told: IngestTold;
  readonly drainSeconds: number;
  readonly cpu: { readonly hub: number; readonly broker: number; readonly producer: number };
  readonly server: ServerFigures;
}

/** Sealed and signed ahead, and kept: distinct batches for the whole run. */
async function preparePool(task: Omit<PoolTask, 'file'>, keepDir: string, say: Say): Promise<string> {
  const { endpoints, regions, probes, batchSize, fromUs, results } = task;
  const name = ['pool', endpoints, regions, probes, batchSize, fromUs / 1e6, results].join('-');
  await mkdir(resolve(keepDir), { recursive: true });
  const file = join(resolve(keepDir), name);
  const found = await stat(file).catch(() => null);
  if (found) {
    say(`the kept pool of ${results} results is used`);
    return file;
  }
  const child = startChild(null, process.execPath, [
    join(import.meta.dirname, 'pool-child.ts'),
    JSON.stringify({ ...task, file } satisfies PoolTask),
  ]);
  const startedMs = performance.now();
  try {
    for (;;) {
      const { made, bytes } = await child.next<{ made: number; bytes?: number }>(60_000);
      const tookS = Math.round((performance.now() - startedMs) / 1000);
      if (bytes === undefined) say(`sealing batches ahead: ${made} of ${results} results`);
      else {
        say(`${made} results sealed in ${tookS} s: ${(bytes / made).toFixed(1)} bytes a result`);
        return file;
      }
    }
  } finally {
    await child.stop();
  }
}

/** The table knows its own ten; streams refer to every probe that speaks. */
async function addProbes(url: string, there: number, probes: number, regions: number): Promise<void> {
  const db = openDatabase({ url, maxConnections: 1, queryTimeoutMs: null });
  try {
    await db.run(
      `insert into probes (region_id, name, public_key, thumbprint, status, enrollment, mac)
       select (n - 1) % $3::int4 + 1, 'probe-' || n, '', 'probe ' || n, 'active', gen_random_uuid(), ''
       from generate_series($1::int4 + 1, $2::int4) as n`,
      [there, probes, regions],
    );
    await db.run('analyze probes');
    await db.run('checkpoint');
  } finally {
    await db.end();
  }
}

async function measure(run: Run, say: Say): Promise<Measured> {
  const { table, url, broker, file, load, rate, seconds, flags } = run;
  const db = openDatabase({ url, maxConnections: 1, queryTimeoutMs: null });
  const here = (name: string) => join(import.meta.dirname, name);
  const ingestTask: IngestTask = { ...load, ...bounds, url, broker: broker.address };
  const ingest = startChild(null, process.execPath, [
    quiet,
    ...flags,
    here('ingest-child.ts'),
    JSON.stringify(ingestTask),
  ]);
  let producer: BenchChild | null = null;
  try {
    let told = await ingest.next<IngestTold>(60_000);
    while (!told.ready) told = await ingest.next<IngestTold>(60_000);
    const topic = topicNames('bench').results;
    const produceTask: ProduceTask = { file, broker: broker.address, topic, rate, seconds };
    producer = startChild(null, process.execPath, [
      quiet,
      here('produce-child.ts'),
      JSON.stringify(produceTask),
    ]);
    await producer.next(30_000);
    const [before, brokerBefore, hubBefore, startedMs] = [
      await serverFigures(db, table.server.pid),
      await cpuSeconds(broker.pid),
      told.cpuSeconds,
      performance.now(),
    ];
    const progress: Produced = { produced: 0, final: null };
    const producing = follow(producer, progress);
    const points: LagPoint[] = [];
    let doneMs: number | null = null;
    for (;;) {
      told = await ingest.next<IngestTold>(30_000);
      const second = (performance.now() - startedMs) / 1000;
      const lag = Math.max(0, progress.produced - told.stored);
      if (!progress.final) points.push({ second, lag });
      if (points.length % 10 === 0 && !progress.final) {
        const { stored, rejected, rssMb } = told;
        say(
          `${Math.round(second)} s: ${progress.produced} produced, ${stored} stored, lag ${lag}, rejected ${rejected}, ${Math.round(rssMb)} MB`,
        );
      }
      if (progress.final) {
        doneMs ??= performance.now();
        // What is left over drains by itself, or is told as what it is.
        const waitedMs = performance.now() - doneMs;
        if (told.stored + told.rejected >= progress.final.produced || waitedMs > 300_000) break;
      }
      await sleep(0);
    }
    await producing;
    const final = progress.final;
    if (!final) throw new Error('the producer ended without its figures');
    return {
      produced: final.produced,
      batches: final.batches,
      seconds: final.seconds,
      points,
      told,
      drainSeconds: (performance.now() - (doneMs ?? 0)) / 1000,
      cpu: {
        hub: told.cpuSeconds - hubBefore,
        broker: (await cpuSeconds(broker.pid)) - brokerBefore,
        producer: final.cpuSeconds,
      },
      server: since(before, await serverFigures(db, table.server.pid)),
    };
  } finally {
    await producer?.stop();
    await ingest.stop();
    await db.end();
  }
}

interface Final {
  readonly produced: number;
  readonly batches: number;
  readonly seconds: number;
  readonly cpuSeconds: number;
}
interface Produced {
  produced: number;
  final: Final | null;
}

async function follow(producer: BenchChild, progress: Produced): Promise<void> {
  while (!progress.final) {
    const told = await producer.next<Partial<Final>>(60_000);
    progress.produced = told.produced ?? progress.produced;
    if (told.seconds !== undefined) progress.final = told as Final;
  }
}

function rowsOf(measured: Measured, { load, rate }: Run, say: Say): Row[] {
  const { produced, batches, seconds, points, told, cpu, server } = measured;
  // A probe with few endpoints seals fewer.
  const what = `${load.probes} probes, ${Math.round(produced / batches)} a batch`;
  const settled = points.filter(({ second }) => second > Math.min(warmSeconds, seconds / 3));
  const slope = lagSlope(settled);
  const last = points.at(-1)?.lag ?? 0;
  const lost = produced - told.stored;
  const isSteady =
    produced / seconds >= rate * 0.99 && slope < rate * steady.slopeShare && last < rate * steady.lagSeconds;
  const each = (cpuOf: number) => (cpuOf * 1e6) / produced;
  const sum = cpu.hub + cpu.broker + server.cpuSeconds;
  const verdict = isSteady ? 'holds' : 'falls short';
  say(
    `${what}: ${verdict} at ${rate}/s: lag ${last} at the end, growing by ${Math.round(slope)}/s; ${lost} lost`,
  );
  if (lost !== 0 || told.rejected > 0)
    throw new Error(`${lost} results are missing, ${told.rejected} refused`);
  const of = (name: string, value: number, unit: string, more: { budget?: number; atLeast?: boolean } = {}) =>
    row({
      bench: 'e2e',
      what: `${name}: ${what}`,
      value,
      unit,
      peer: null,
      limit: null,
      budget: null,
      ...more,
    });
  return [
    of(
      'sustained',
      isSteady ? produced / seconds : told.stored / (seconds + measured.drainSeconds),
      'results/s',
      {
        // Who asks for less is told whether it holds by the lag.
        ...(rate >= 30_000 && { budget: 30_000 }),
        atLeast: true,
      },
    ),
    of('lag grows by', slope, 'results/s', { budget: rate * steady.slopeShare }),
    of('lag at the end', last, 'results'),
    of('CPU of 1,000 results, hub', each(cpu.hub), 'ms'),
    of('CPU of 1,000 results, PostgreSQL', each(server.cpuSeconds), 'ms'),
    of('CPU of 1,000 results, broker', each(cpu.broker), 'ms'),
    of('CPU of 1,000 results, the bench producing', each(cpu.producer), 'ms'),
    of('what two cores could do', (2 * produced) / sum, 'results/s'),
    of('CPU of a batch, hub', (cpu.hub * 1e6) / batches, 'us'),
    of('rows a transaction', told.stored / told.transactions, 'rows'),
    of('WAL a row', server.walBytes / produced, 'B'),
    of('checkpoints', server.checkpoints, ''),
    of('memory of the hub', told.rssMb, 'MB'),
  ];
}
