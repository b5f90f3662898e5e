import { generateKeyPairSync, type KeyObject, randomBytes } from 'node:crypto';
import pino from 'pino';
import type { LogPosition } from '../../../hub/ingest/bus.ts';
import { createIngest, type Ingest, type IngestOptions } from '../../../hub/ingest/ingest.ts';
import { advanceProgress } from '../../../hub/store/advance-progress.ts';
import { type Database, openDatabase } from '../../../hub/store/database.ts';
import { type Keeper, startKeeper } from '../../../hub/store/keeper.ts';
import type { RegisteredProbe, Registry } from '../../../hub/trust/registry.ts';
import { type Batch, encodeBatch, type SealedBatch } from '../../../shared/batch.ts';
import { currentBatchSchema } from '../../../shared/batch-schema.ts';
import { failure } from '../../../shared/failure.ts';
import type { Result } from '../../../shared/result.ts';
import { ed25519Thumbprint, signBytes } from '../../../shared/signing.ts';
import { type TestDatabase, testDatabase } from '../../harness/postgres.ts';

export interface TestProbe extends RegisteredProbe {
  readonly privateKey: KeyObject;
}

/** A database, a keeper and an ingest that know some probes and endpoints. */
export interface Scene {
  readonly url: string;
  readonly db: Database;
  readonly keeper: Keeper;
  readonly registry: TestRegistry;
  readonly ingest: Ingest;
  /** Epoch microseconds, a whole second. */
  readonly nowUs: number;
  /** Enrolls one in the region with this name, which is made if it is new. */
  probe(region: string, status?: RegisteredProbe['status']): Promise<TestProbe>;
  /** Rows of a table. */
  count(table: string): Promise<number>;
  /** What ingest does with the progress, for handlers that stand in for it. */
  advance(position: LogPosition): Promise<void>;
  end(): Promise<void>;
}

export interface TestRegistry extends Registry {
  readonly probes: Map<string, RegisteredProbe>;
  readonly endpoints: Map<number, ReadonlySet<number>>;
  refreshed: number;
  onRefresh: () => void;
}

export const quiet = pino({ level: process.env.LOG_LEVEL ?? 'silent' });

export async function makeScene(
  options: Partial<IngestOptions> & { database?: TestDatabase; queryTimeoutMs?: number } = {},
): Promise<Scene> {
  const { queryTimeoutMs = 30_000, database, ...ingestOptions } = options;
  const { url, drop } = database ?? (await testDatabase());
  const db = openDatabase({ url, maxConnections: 4, queryTimeoutMs });
  const nowUs = Math.floor(Date.now() / 1000) * 1_000_000;
  const keeper = await startKeeper({
    db,
    log: quiet,
    now: () => nowUs,
    policy: () => ({ width: 'day', retentionDays: 7 }),
  });
  const registry = memoryRegistry();
  const ingest = createIngest({
    db,
    registry,
    keeper,
    log: quiet,
    now: () => nowUs,
    maxRows: 5000,
    maxMs: 20,
    ...ingestOptions,
  });
  return {
    url,
    db,
    keeper,
    registry,
    ingest,
    nowUs,
    async probe(region, status = 'active') {
      const { id: regionId } = await db.one<{ id: number }>(
        `insert into regions (name) values ($1) on conflict (name) do update set name = excluded.name returning id`,
        [region],
      );
      const { publicKey, privateKey } = generateKeyPairSync('ed25519');
      const x = publicKey.export({ format: 'jwk' }).x ?? '';
      const kid = ed25519Thumbprint(x);
      const { id } = await db.one<{ id: number }>(
        `insert into probes (region_id, name, public_key, thumbprint, status, enrollment, mac)
         values ($1, 'test', $2, $3, $4, gen_random_uuid(), '') returning id`,
        [regionId, x, kid, status],
      );
      const probe = { id, name: 'test', regionId, kid, publicKey, privateKey, status };
      registry.probes.set(kid, probe);
      return probe;
    },
    count: async (table) => (await db.one<{ count: number }>(`select count(*) from ${table}`)).count,
    advance: (at) => advanceProgress(db, [{ ...at, expected: at.offset, next: at.offset + 1 }]),
    async end() {
      await keeper.stop();
      await db.end();
      await drop();
    },
  };
}

/** The registry's seam, without its database: endpoints 1 to 1000 belong to regions 1 and 2 unless told otherwise. */
function memoryRegistry(): TestRegistry {
  const probes = new Map<string, RegisteredProbe>();
  const both: ReadonlySet<number> = new Set([1, 2]);
  const endpoints = new Map(Array.from({ length: 1000 }, (_, index) => [index + 1, both]));
  return {
    probes,
    endpoints,
    refreshed: 0,
    onRefresh: () => undefined,
    probeByKid: (kid) => probes.get(kid),
    probeById: (id) => [...probes.values()].find((probe) => probe.id === id),
    regionById: (id) => ({ id, name: `region-${id}` }),
    regions: () => [],
    regionsOfEndpoint: (id) => endpoints.get(id),
    async refresh() {
      this.refreshed += 1;
      this.onRefresh();
    },
    stop() {},
  };
}

export function newStream(): string {
  return randomBytes(16).toString('hex');
}

export function resultOf(probe: RegisteredProbe, scheduledAt: number, over: Partial<Result> = {}): Result {
  return {
    endpointId: 1,
    rev: 1,
    regionId: probe.regionId,
    probeId: probe.id,
    kind: 'slot',
    scheduledAt,
    startedAt: scheduledAt + 400,
    attempts: 1,
    outcome: 'up',
    failure: null,
    firstFailure: null,
    suspect: false,
    status: 200,
    httpVersion: '1.1',
    remoteIp: '203.0.113.7',
    redirects: 0,
    timings: { dns: 1000, connect: 2000, tls: 3000, wait: 4000, transfer: 500, total: 10_500 },
    bytes: 1234,
    truncated: false,
    facts: null,
    evidence: null,
    tls: null,
    lateBy: 400,
    ...over,
  };
}

export function downOf(probe: RegisteredProbe, scheduledAt: number, over: Partial<Result> = {}): Result {
  const refused = failure('connect.refused', 'nobody listens on 203.0.113.7:443');
  return resultOf(probe, scheduledAt, { outcome: 'down', failure: refused, status: null, ...over });
}

export function batchOf(probe: RegisteredProbe, over: Partial<Batch> = {}): Batch {
  return {
    probeId: probe.id,
    regionId: probe.regionId,
    stream: newStream(),
    seq: 1,
    leaseVersion: 1,
    sealedAt: Date.now() * 1000,
    results: [],
    gaps: [],
    ...over,
  };
}

export function seal(probe: TestProbe, batch: Batch): SealedBatch {
  const value = encodeBatch(batch);
  return sealBytes(probe, batch.stream, value);
}

export function sealBytes(
  probe: TestProbe,
  stream: string,
  value: Uint8Array,
  schema = currentBatchSchema,
): SealedBatch {
  const sig = signBytes(probe.privateKey, value);
  return { key: stream, value, headers: { kid: probe.kid, sig, schema: String(schema) } };
}
