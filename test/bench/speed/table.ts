import { chmod, mkdir, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { storeBatches } from '../../../hub/ingest/store-batches.ts';
import type { VerifiedBatch } from '../../../hub/ingest/verify.ts';
import { type Database, openDatabase } from '../../../hub/store/database.ts';
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../../../hub/store/embedded/start.ts';
import { migrateUp, SchemaError } from '../../../hub/store/migrate.ts';
import { migrationsDir, readMigrations } from '../../../hub/store/migrations.ts';
import { partitionWidth, planPartitions } from '../../../hub/store/partition-plan.ts';
import { createPartition } from '../../../hub/store/partitions.ts';
import type { LoadShape } from './load-shape.ts';
import { loadTurns, type Turn } from './load-turns.ts';

/** What a PostgreSQL that takes this load is given (docs/postgresql.md); the rest is its default. */
export const serverSettings: Readonly<Record<string, string>> = {
  shared_buffers: '2GB',
  max_wal_size: '16GB',
  wal_compression: 'pglz',
  wal_buffers: '64MB',
  checkpoint_completion_target: '0.9',
  // At 80,000 rows/s one minute writes what five (the default) do at 1 M pairs checked every minute.
  checkpoint_timeout: '60s',
  autovacuum_naptime: '10s',
  max_connections: '50',
};

export interface TableSize extends LoadShape {
  /** Rows that are there before anything is measured: whole rounds of all pairs. */
  readonly rows: number;
}

/** A server with one database that is never written to again: what is measured runs in copies of it. */
export interface BenchTable {
  readonly server: EmbeddedPostgres;
  readonly folder: string;
  /** Where the next round of slots begins, epoch microseconds. */
  readonly nextUs: number;
  /** A copy, file by file, so that each begins alike. */
  copy(name: string): Promise<string>;
  drop(name: string): Promise<void>;
  stop(): Promise<void>;
}

const template = 'bench_template';
/** 20 minutes into an hour: in hour partitions the rounds before it and those to come lie in one. */
const nextUs = Date.UTC(2026, 0, 7, 12, 20) * 1000;

/** Starts the server in `folder` and builds the table, where it is not there yet in this very shape. */
export async function openTable(
  size: TableSize,
  folder: string,
  say: (line: string) => void,
): Promise<BenchTable> {
  await mkdir(resolve(folder), { recursive: true });
  await chmod(resolve(folder), 0o711);
  const server = await startEmbeddedPostgres({
    dataDir: join(folder, 'postgres'),
    log: say,
    signal: AbortSignal.timeout(300_000),
    settings: serverSettings,
  });
  const admin = openDatabase({ url: server.url, maxConnections: 1, queryTimeoutMs: null });
  const urlOf = (name: string) => Object.assign(new URL(server.url), { pathname: `/${name}` }).href;
  const drop = async (name: string) => {
    await admin.run(`drop database if exists ${name} with (force)`);
  };
  try {
    const shape = shapeOf(size);
    const found = await admin.maybeOne<{ shape: string | null }>(
      `select shobj_description(oid, 'pg_database') as shape from pg_database where datname = $1`,
      [template],
    );
    if (found?.shape === shape && (await broughtUp(urlOf(template))))
      say(`the kept table of ${size.rows} rows is used`);
    else {
      if (found) say('the kept table has another shape: it is built anew');
      await drop(template);
      await admin.run(`create database ${template}`);
      await build(urlOf(template), size, say);
      await admin.run(`comment on database ${template} is '${shape}'`);
    }
    return {
      server,
      folder,
      nextUs,
      async copy(name) {
        await drop(name);
        await admin.run(`create database ${name} template ${template} strategy file_copy`);
        await warm(urlOf(name));
        return urlOf(name);
      },
      drop,
      async stop() {
        await admin.end();
        await server.stop();
      },
    };
  } catch (error) {
    await admin.end();
    await server.stop();
    throw error;
  }
}

export async function removeTable(folder: string): Promise<void> {
  await rm(folder, { recursive: true, force: true });
}

/** What a hub that has run for an hour has in memory: newest results, and the index of the hour. */
async function warm(url: string): Promise<void> {
  const db = openDatabase({ url, maxConnections: 1, queryTimeoutMs: null });
  try {
    await db.run('create extension if not exists pg_prewarm');
    await db.run(
      `select pg_prewarm(i.indexrelid) from pg_index i join pg_inherits h on h.inhrelid = i.indrelid
       where h.inhparent = 'results'::regclass and pg_relation_size(h.inhrelid) > 0
       order by i.indrelid desc limit 2`,
    );
    await db.run("select pg_prewarm('latest_results'), pg_prewarm('latest_results_pkey')");
  } finally {
    await db.end();
  }
}

/** All that the rows depend on but the schema: a kept table is brought up as a hub would. */
function shapeOf({ rows, endpoints, regions, probes, intervalUs }: TableSize): string {
  return ['2', rows, endpoints, regions, probes, intervalUs].join(' ');
}

/** False where it cannot be: its migrations have another history. */
async function broughtUp(url: string): Promise<boolean> {
  const db = openDatabase({ url, maxConnections: 1, queryTimeoutMs: null });
  try {
    await migrateUp(db, await readMigrations(migrationsDir()));
    return true;
  } catch (error) {
    if (error instanceof SchemaError) return false;
    throw error;
  } finally {
    await db.end();
  }
}

async function build(url: string, size: TableSize, say: (line: string) => void): Promise<void> {
  const startedMs = performance.now();
  const db = openDatabase({ url, maxConnections: 2, queryTimeoutMs: null });
  try {
    await migrateUp(db, await readMigrations(migrationsDir()));
    await db.run(`insert into regions (name) select 'region-' || n from generate_series(1, $1::int4) as n`, [
      size.regions,
    ]);
    await db.run(
      `insert into probes (region_id, name, public_key, thumbprint, status, enrollment, mac)
       select (n - 1) % $2::int4 + 1, 'probe-' || n, '', 'probe ' || n, 'active', gen_random_uuid(), ''
       from generate_series(1, $1::int4) as n`,
      [size.probes, size.regions],
    );
    const pairs = size.endpoints * size.regions;
    const clocks = { hubUs: nextUs, databaseUs: nextUs };
    const policy = { width: partitionWidth(pairs), retentionDays: 7, sealedUs: 0 };
    for (const partition of planPartitions([], clocks, policy).create) await createPartition(db, partition);
    await db.run(`create table bench_round (like results)`);
    await db.run('set synchronous_commit = off');
    await fillRounds(db, size, say);
    say('vacuum');
    await db.run('vacuum (freeze, analyze) results');
    await db.run('vacuum (freeze, analyze) latest_results');
    await db.run('checkpoint');
    const { bytes, index } = await db.one<{ bytes: number; index: number }>(
      `select sum(pg_table_size(inhrelid))::int8 as bytes, sum(pg_indexes_size(inhrelid))::int8 as index
       from pg_inherits where inhparent = 'results'::regclass`,
    );
    const perRow =
      size.rows > 0 ? `${Math.round(bytes / size.rows)} + ${Math.round(index / size.rows)} B` : '-';
    const tookS = Math.round((performance.now() - startedMs) / 1000);
    say(`${size.rows} rows of ${pairs} pairs built in ${tookS} s: ${perRow} a row (table + index)`);
  } finally {
    await db.end();
  }
}

/** The first round row by row as probes would see it, the others as its copies: what an index cares for is their order. */
async function fillRounds(db: Database, size: TableSize, say: (line: string) => void): Promise<void> {
  const pairs = size.endpoints * size.regions;
  const rounds = Math.ceil(size.rows / pairs);
  if (rounds === 0) return;
  const fromUs = nextUs - rounds * size.intervalUs;
  const turns = loadTurns({ ...size, batchSize: 1000, fromUs });
  for (let held = 0; held < pairs; ) {
    const group: VerifiedBatch[] = [];
    for (let rows = 0; rows < 10_000 && held + rows < pairs; ) {
      const batch = batchOf(turns.next().value);
      rows += batch.results.length;
      group.push(batch);
    }
    held += (await storeBatches(db, group)).rows;
  }
  say(`round 1 of ${rounds}`);
  await db.run('insert into bench_round select * from results order by scheduled_at');
  let toldMs = performance.now();
  for (let round = 1; round < rounds; round += 1) {
    await db.run(
      `insert into results
       select endpoint_id, region_id, scheduled_at + $1::int8 * interval '1 microsecond', probe_id, rev, kind, outcome,
         suspect, truncated, attempts, redirects, status, late_by_us, dns_us, connect_us, tls_us, wait_us, transfer_us,
         total_us, bytes, failure_code, failure_message, first_failure, http_version, remote_ip, tls, tls_id
       from bench_round`,
      [round * size.intervalUs],
    );
    if (performance.now() - toldMs < 5000 && round + 1 < rounds) continue;
    toldMs = performance.now();
    say(`round ${round + 1} of ${rounds}: ${Math.round(((round + 1) * pairs) / 1e5) / 10} M rows`);
  }
  await db.run('truncate latest_results');
  await db.run(
    `insert into latest_results (endpoint_id, region_id, scheduled_at, probe_id, rev, outcome, suspect, status, total_us,
       failure_code, failure_message)
     select endpoint_id, region_id, scheduled_at + $1::int8 * interval '1 microsecond', probe_id, rev, outcome, suspect,
       status, total_us, failure_code, failure_message
     from bench_round order by endpoint_id, region_id`,
    [(rounds - 1) * size.intervalUs],
  );
  await db.run('drop table bench_round');
}

/** As verification hands it on, without a stream or a place in a log. */
function batchOf({ share, results }: Turn): VerifiedBatch {
  const headers = { kid: '', sig: new Uint8Array(), schema: '' };
  return {
    incoming: { key: null, value: new Uint8Array(), headers, position: null },
    claim: null,
    regionId: share.regionId,
    results,
    rejects: [],
    doubt: null,
  };
}
