import { execFile } from 'node:child_process';
import { randomBytes, randomUUID } from 'node:crypto';
import { chmod, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { readDocument } from '../../../hub/endpoints/read-documents.ts';
import { freePort } from '../../../hub/process/port.ts';
import { type Database, openDatabase } from '../../../hub/store/database.ts';
import { startEmbeddedPostgres } from '../../../hub/store/embedded/start.ts';
import { migrateUp } from '../../../hub/store/migrate.ts';
import { migrationsDir, readMigrations } from '../../../hub/store/migrations.ts';
import { insertEndpoints } from '../../../hub/store/write-endpoints.ts';
import { createApiToken } from '../../../hub/trust/api-tokens.ts';
import { signEndpointRow } from '../../../hub/trust/endpoint-rows.ts';
import { loadHubKeys } from '../../../hub/trust/load-keys.ts';
import { signProbeRow } from '../../../hub/trust/probe-rows.ts';
import { root } from '../../harness/imports.ts';
import { type HubProcess, startHubProcess } from './hub-process.ts';
import { benchProbeKey } from './probe-key.ts';

/** How large the network is that hubs of the bench run. */
export interface NetworkSize {
  readonly endpoints: number;
  readonly regions: number;
  readonly probes: number;
  /** Every pair has a newest result, so that pages have something to show. */
  readonly seen?: boolean;
}

/** A real database with endpoints, regions and enrolled probes, and the keys of the hub they belong to. */
export interface Network {
  readonly size: NetworkSize;
  readonly db: Database;
  readonly databaseUrl: string;
  readonly databasePid: number;
  readonly publicUrl: string;
  /** An operator's, with all scopes. */
  readonly token: string;
  /** A replica of the hub's own bundle on this port; resolves when it answers /readyz. */
  startHub(port: number, flags?: readonly string[]): Promise<HubProcess>;
  /** The port of the public URL, on which the first replica listens. */
  readonly port: number;
  stop(): Promise<void>;
}

/** Rows are written as the hub writes them, with their HMACs: enrolling ten thousand one by one would take minutes and measure nothing. */
export async function openNetwork(size: NetworkSize, say: (line: string) => void): Promise<Network> {
  const folder = await mkdtemp(join(tmpdir(), 'parallax-scale-'));
  await chmod(folder, 0o711);
  const dist = join(root, 'node_modules/.cache/parallax-bench');
  await mkdir(dist, { recursive: true });
  await promisify(execFile)(process.execPath, [join(root, 'deploy/build.mjs'), '--quiet', '--outdir', dist]);
  const postgres = await startEmbeddedPostgres({
    dataDir: join(folder, 'postgres'),
    log: () => undefined,
    signal: AbortSignal.timeout(120_000),
    settings: { max_connections: '100', shared_buffers: '512MB' },
  });
  const db = openDatabase({ url: postgres.url, maxConnections: 4, applicationName: 'parallax-bench' });
  const hubs = new Set<HubProcess>();
  const end = async () => {
    process.off('SIGINT', interrupted);
    process.off('SIGTERM', interrupted);
    for (const hub of hubs) await hub.stop('SIGKILL');
    await db.end();
    await postgres.stop();
    await rm(folder, { recursive: true, force: true });
  };
  const interrupted = () => void end().finally(() => process.exit(130));
  process.once('SIGINT', interrupted);
  process.once('SIGTERM', interrupted);
  try {
    await migrateUp(db, await readMigrations(migrationsDir()));
    const port = await freePort();
    const publicUrl = `http://127.0.0.1:${port}`;
    const keysDir = join(folder, 'keys');
    const keys = await loadHubKeys({ dir: keysDir, publicUrl, now: () => Date.now() * 1000 });
    const { token } = await createApiToken(db, keys, {
      name: 'bench',
      scopes: ['admin', 'write', 'read'],
      regions: null,
      expiresAt: null,
      createdBy: 'bench',
    });
    say(`writing ${size.endpoints} endpoints and ${size.probes} probes in ${size.regions} regions`);
    await fill(db, keys.hmac, size);
    const env = {
      DATABASE_URL: postgres.url,
      PARALLAX_KEYS: keysDir,
      PARALLAX_SECRET: randomBytes(32).toString('base64'),
      PARALLAX_PUBLIC_URL: publicUrl,
      LOG_LEVEL: 'warn',
    };
    return {
      size,
      db,
      databaseUrl: postgres.url,
      databasePid: postgres.pid,
      publicUrl,
      token,
      port,
      async startHub(at, flags = []) {
        const hub = await startHubProcess({ bundle: join(dist, 'parallax.js'), env, port: at, flags });
        hubs.add(hub);
        return hub;
      },
      stop: end,
    };
  } catch (error) {
    await end();
    throw error;
  }
}

async function fill(
  db: Database,
  hmac: Uint8Array,
  { endpoints, regions, probes, seen = false }: NetworkSize,
): Promise<void> {
  const names = Array.from({ length: regions }, (_, index) => `region-${index + 1}`);
  await db.run('insert into regions (name) select unnest($1::text[])', [names]);
  for (let from = 0; from < endpoints; from += 5000) {
    const rows = Array.from({ length: Math.min(5000, endpoints - from) }, (_, index) =>
      signEndpointRow(hmac, endpointRow(from + index + 1)),
    );
    await insertEndpoints(db, rows);
  }
  await db.run(`select setval(pg_get_serial_sequence('endpoints', 'id'), $1::int8)`, [endpoints + 1]);
  for (let from = 0; from < probes; from += 1000) {
    const rows = Array.from({ length: Math.min(1000, probes - from) }, (_, index) => {
      const n = from + index + 1;
      const regionId = 1 + (n % regions);
      const { publicKey, kid } = benchProbeKey(n);
      return signProbeRow(hmac, {
        id: n,
        name: `probe-${n}`,
        regionId,
        region: `region-${regionId}`,
        publicKey,
        thumbprint: kid,
        status: 'active',
        enrollment: randomUUID(),
      });
    });
    await db.run(
      `insert into probes (id, region_id, name, public_key, thumbprint, status, enrollment, mac)
       overriding system value
       select id, "regionId", name, "publicKey", thumbprint, status, enrollment, decode(mac, 'hex')
       from jsonb_to_recordset($1::jsonb) as p (id int8, "regionId" int2, name text, "publicKey" text,
         thumbprint text, status text, enrollment uuid, mac text)`,
      [JSON.stringify(rows.map((row) => ({ ...row, mac: Buffer.from(row.mac).toString('hex') })))],
    );
  }
  await db.run(`select setval(pg_get_serial_sequence('probes', 'id'), $1::int8)`, [probes + 1]);
  await db.run(
    `insert into streams (stream, probe_id, up_to) select lpad(to_hex(id), 32, '0'), id, 5 from probes`,
  );
  if (seen) {
    await db.run(
      `insert into latest_results (endpoint_id, region_id, scheduled_at, probe_id, rev, outcome, suspect, status, total_us)
       select e.id, r.id, now() - random() * interval '50 s', 1, 1, (e.id % 100 = 0)::int * 2, false, 200, 40000
       from endpoints e cross join regions r`,
    );
  }
  await db.run('analyze');
}

let plain: ReturnType<typeof readDocument>['document'] | null = null;

/** As the writer makes them: the first is read, the others differ from it in name, URL and tags. */
function endpointRow(id: number) {
  const name = `load-${String(id).padStart(7, '0')}`;
  const url = `https://load-${id % 997}.example/health/${id}`;
  plain ??= readDocument({
    name,
    url,
    interval: '60s',
    expect: { status: ['2xx'], body: { matches: ['welcome'] } },
    tags: { team: 'web' },
  }).document;
  return {
    id,
    name,
    rev: 1,
    spec: { ...plain, name, url, tags: { team: `team-${id % 50}` } },
    sealed: {},
    source: 'bench',
    changedAtUs: 1_767_225_600_000_000,
    deleted: false,
  };
}
