import { chmod, mkdtemp, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { IncomingBatch } from '../../../hub/ingest/bus.ts';
import { type Database, openDatabase } from '../../../hub/store/database.ts';
import { startEmbeddedPostgres } from '../../../hub/store/embedded/start.ts';
import { migrateUp } from '../../../hub/store/migrate.ts';
import { migrationsDir, readMigrations } from '../../../hub/store/migrations.ts';
import { type Row, row } from '../report.ts';
import { openLiedToHub } from './lied-to-hub.ts';
import { heavy, lies, newStream, resultOf, sealed } from './lies.ts';
import { openPartitions } from './partitions.ts';

export interface LiarBenchOptions {
  readonly seconds: number;
  /** Messages a second of the liar; fewer of the heavy ones. */
  readonly rate: number;
  /** Only lies with this in their name. */
  readonly only?: string;
}

const partitions = 16;
const honestProbes = 20;
const honestResults = 50;
/** Beside it: an honest batch waits for its group, 20 ms, and a transaction. */
const budgetMs = 250;
const poolSize = 6000;
const costCount = 2000;

type Say = (line: string) => void;

/** One liar at full speed beside twenty honest probes: what each costs, and what the honest ones wait. */
export async function benchLiar({ seconds, rate, only = '' }: LiarBenchOptions, say: Say): Promise<Row[]> {
  const folder = await mkdtemp(join(tmpdir(), 'parallax-liar-'));
  await chmod(folder, 0o711);
  const dataDir = join(folder, 'postgres');
  const postgres = await startEmbeddedPostgres({
    dataDir,
    log: () => undefined,
    signal: AbortSignal.timeout(120_000),
  });
  const db = openDatabase({ url: postgres.url, maxConnections: 8 });
  const rows: Row[] = [];
  try {
    await migrateUp(db, await readMigrations(migrationsDir()));
    for (const name of [null, ...Object.keys(lies).filter((each) => each.includes(only))]) {
      const offered = name === null ? 0 : rate / (heavy[name] ?? 1);
      const seen = await oneLie(db, name, offered, seconds);
      const what = name === null ? 'no liar' : `${name}, ${offered}/s`;
      const add = (of: string, value: number, unit: string, more: Partial<Row> = {}) =>
        rows.push(
          row({
            bench: 'liar',
            what: `${of}: ${what}`,
            value,
            unit,
            peer: null,
            limit: null,
            budget: null,
            ...more,
          }),
        );
      add('honest p99', seen.p99, 'ms', { budget: budgetMs });
      add('rows written', seen.rowsWritten, 'rows');
      add('WAL', seen.walMb, 'MB');
      say(
        `${what}: honest p50 ${seen.p50.toFixed(0)} p99 ${seen.p99.toFixed(0)} ms, ${seen.rowsWritten} rows, WAL ${seen.walMb.toFixed(1)} MB, put off ${(seen.putOff * 100).toFixed(0)}%, not yet read at the end ${seen.behind}`,
      );
      if (name === null) continue;
      const [free, braked] = [await costOf(db, name, false), await costOf(db, name, true)];
      add('CPU of the hub a message', braked, 'us', { peer: free });
      say(
        `  CPU of the hub a message: ${free.toFixed(0)} us without the brake, ${braked.toFixed(0)} us past it`,
      );
    }
    return rows;
  } finally {
    await db.end();
    await postgres.stop();
    await rm(await realpath(dataDir), { recursive: true });
    await rm(folder, { recursive: true, force: true });
  }
}

/** Microseconds of this process's CPU a message; with the brake, of one that comes when the budget is used up. */
async function costOf(db: Database, name: string, braked: boolean): Promise<number> {
  const hub = await openLiedToHub(
    db,
    braked ? { refillUs: 0, burstUs: 1 } : { burstUs: Number.MAX_SAFE_INTEGER },
  );
  const lie = lies[name]?.(await hub.speaker(), Date.now() * 1000);
  if (!lie) throw new Error(`no lie ${name}`);
  const count = costCount / Math.min(20, heavy[name] ?? 1);
  const pool = Array.from({ length: count + 1 }, (_, n) => lie(n));
  const [first, ...others] = pool;
  await hub.ingest.handle(first ? [first] : [], AbortSignal.timeout(60_000));
  const feed = openPartitions(hub.ingest, partitions);
  const before = process.cpuUsage();
  for (const [at, batch] of others.entries()) feed.put(at, batch);
  await feed.idle();
  const { user, system } = process.cpuUsage(before);
  await hub.end();
  return (user + system) / count;
}

async function oneLie(db: Database, name: string | null, rate: number, seconds: number) {
  const hub = await openLiedToHub(db);
  const liar = await hub.speaker();
  const honest = await Promise.all(Array.from({ length: honestProbes }, hub.speaker));
  const nowUs = Date.now() * 1000;
  const lie = name === null ? undefined : lies[name]?.(liar, nowUs);
  const wanted = Math.min(poolSize, Math.ceil(rate * seconds));
  const pool: IncomingBatch[] = lie ? Array.from({ length: wanted }, (_, n) => lie(n)) : [];
  const truth = honest.map((speaker) => {
    const stream = newStream();
    return Array.from({ length: seconds * 2 }, (_, n) => {
      const results = Array.from({ length: honestResults }, (_, one) =>
        resultOf(speaker, nowUs - n * 1000 - one, 1 + ((n * honestResults + one) % 1000)),
      );
      return sealed(speaker, { stream, seq: n + 1, results });
    });
  });
  const feed = openPartitions(hub.ingest, partitions);
  const before = await figuresOf(db);
  const beganMs = performance.now();
  let [lied, told] = [0, 0];
  for (let at = 0; at < seconds * 1000; at = performance.now() - beganMs) {
    for (const due = (rate * at) / 1000; lied < due; lied += 1) {
      const next = pool[lied % pool.length];
      if (next) feed.put(lied, next);
    }
    // Evenly over all probes: each has two batches a second.
    for (const due = (at / 1000) * 2 * honestProbes; told < due; told += 1) {
      const next = truth[told % honestProbes]?.[Math.floor(told / honestProbes)];
      if (next) feed.timed(told, next);
    }
    await sleep(5);
  }
  const behind = feed.waiting();
  while (feed.waiting() > 0 && performance.now() - beganMs < seconds * 4000) await sleep(20);
  await sleep(200);
  const after = await figuresOf(db);
  feed.stop();
  await hub.end();
  const sorted = feed.latenciesMs.toSorted((a, b) => a - b);
  const quantile = (of: number) => sorted[Math.floor((sorted.length - 1) * of)] ?? Number.POSITIVE_INFINITY;
  return {
    p50: quantile(0.5),
    p99: quantile(0.99),
    rowsWritten: after.rows - before.rows,
    walMb: (after.wal - before.wal) / 1e6,
    putOff: lied === 0 ? 0 : (after.putOff - before.putOff) / lied,
    behind,
  };
}

/** Rows of all that a liar can make the hub write; honest results are not among them. */
async function figuresOf(db: Database) {
  return db.one<{ rows: number; wal: number; putOff: number }>(
    `select (select count(*) from rejects) + (select count(*) from reject_counts) + (select count(*) from streams)
       + (select count(*) from gaps) as rows,
       (pg_current_wal_lsn() - '0/0')::int8 as wal,
       (select coalesce(sum(count), 0)::int8 from reject_counts where reason = 'put_off') as "putOff"`,
  );
}
