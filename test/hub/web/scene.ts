import { generateKeyPairSync, randomBytes, randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { Hono } from 'hono';
import { Registry as MetricsRegistry } from 'prom-client';
import { bundleWeb } from '../../../deploy/web.mjs';
import { createApp } from '../../../hub/api/app.ts';
import type { ApiEnv, Scope } from '../../../hub/api/operator.ts';
import { probesApi } from '../../../hub/api/probes.ts';
import { serve } from '../../../hub/api/serve.ts';
import type { BusStatus } from '../../../hub/ingest/bus.ts';
import { freePort } from '../../../hub/process/port.ts';
import { tellChange } from '../../../hub/store/changes.ts';
import { type Database, openDatabase } from '../../../hub/store/database.ts';
import { ensureRegion } from '../../../hub/store/ensure-region.ts';
import { insertEvidence } from '../../../hub/store/insert-evidence.ts';
import { insertProbe, nextProbeId } from '../../../hub/store/insert-probe.ts';
import { insertResults, type ResultRow } from '../../../hub/store/insert-results.ts';
import { startKeeper } from '../../../hub/store/keeper.ts';
import { listenForChanges } from '../../../hub/store/listen-for-changes.ts';
import type { ProbeRow } from '../../../hub/store/probe-row.ts';
import { newestOfEach, upsertLatestResults } from '../../../hub/store/upsert-latest-results.ts';
import { createApiToken } from '../../../hub/trust/api-tokens.ts';
import type { Catalog, TrustedEndpoint } from '../../../hub/trust/catalog.ts';
import { loadHubKeys } from '../../../hub/trust/load-keys.ts';
import { startRegistry } from '../../../hub/trust/load-registry.ts';
import { signProbeRow } from '../../../hub/trust/probe-rows.ts';
import type { Region } from '../../../hub/trust/registry.ts';
import { createSession } from '../../../hub/trust/sessions.ts';
import { createSignInLink } from '../../../hub/trust/sign-in.ts';
import { type PagesOptions, pageRoutes } from '../../../hub/web/pages.tsx';
import { type EndpointDocument, endpointSchemas } from '../../../shared/endpoint.ts';
import { type FailureCode, failure, outcomeOf } from '../../../shared/failure.ts';
import type { Result } from '../../../shared/result.ts';
import { ed25519Thumbprint } from '../../../shared/signing.ts';
import { testDatabase } from '../../harness/postgres.ts';
import { quiet } from '../ingest/scene.ts';
import { anyProbe } from '../trust/scene.ts';

export interface PageScene {
  readonly url: string;
  readonly db: Database;
  readonly bus: { status: BusStatus };
  /** Makes a region with this name and one active probe in it, seen now. */
  region(name: string): Promise<PageRegion>;
  probe(region: string, status?: ProbeRow['status'], name?: string): Promise<number>;
  endpoint(document: EndpointDocument): number;
  remove(endpointId: number): void;
  /** Stores results as ingest does and tells the replicas. */
  see(...seen: readonly Seen[]): Promise<void>;
  signInLink(): Promise<string>;
  /** A Cookie header. */
  session(scopes?: readonly Scope[]): Promise<string>;
  /** An API token's secret. */
  token(scopes: readonly Scope[], regions: readonly string[]): Promise<string>;
  get(path: string, cookie?: string, headers?: Readonly<Record<string, string>>): Promise<Response>;
  end(): Promise<void>;
}

export interface PageRegion extends Region {
  readonly probeId: number;
}

export interface Seen {
  readonly endpointId: number;
  readonly region: PageRegion;
  /** Seconds before now. */
  readonly ago?: number;
  readonly ms?: number;
  readonly failed?: FailureCode;
  readonly message?: string;
  readonly status?: number;
  readonly suspect?: boolean;
  readonly more?: Partial<
    Pick<Result, 'facts' | 'tls' | 'timings' | 'attempts' | 'firstFailure' | 'evidence'>
  >;
}

export async function pageScene(
  options: Partial<Pick<PagesOptions, 'maxClients' | 'maxWaiting' | 'stuckMs' | 'everyMs' | 'files'>> = {},
): Promise<PageScene> {
  const database = await testDatabase();
  const db = openDatabase({ url: database.url, maxConnections: 6 });
  const now = () => Date.now() * 1000;
  const keeper = await startKeeper({
    db,
    log: quiet,
    now,
    policy: () => ({ width: 'day', retentionDays: 7 }),
  });
  const catalog = memoryCatalog();
  const bus = { status: { kind: 'direct', ready: true, reason: null, lag: null } as BusStatus };
  const changes = listenForChanges({ url: database.url, log: quiet });
  const stopping = new AbortController();
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const keysDir = await mkdtemp(join(tmpdir(), 'parallax-pages-'));
  const keys = await loadHubKeys({ dir: keysDir, publicUrl: url, now: Date.now });
  const registry = await startRegistry({ db, keys, catalog, changes, log: quiet });
  const probe = async (region: string, status: ProbeRow['status'] = 'active', name = `${region}-1`) => {
    const { id: regionId } = await ensureRegion(db, region);
    const id = await nextProbeId(db);
    const publicKey = generateKeyPairSync('ed25519').publicKey.export({ format: 'jwk' }).x ?? '';
    const thumbprint = ed25519Thumbprint(publicKey);
    const enrollment = randomUUID();
    await insertProbe(
      db,
      signProbeRow(keys.hmac, { id, name, regionId, region, publicKey, thumbprint, status, enrollment }),
    );
    await tellChange(db, 'probes');
    return id;
  };
  const app = createApp({
    config: { publicUrl: url, hosts: [], listen: { host: '127.0.0.1', port }, trustedProxies: [] },
    log: quiet,
    db,
    keys,
    metrics: new MetricsRegistry(),
    health: async () => [],
    version: 'test',
    clockMs: Date.now,
    routes: {
      probes: new Hono<ApiEnv>(),
      operators: [probesApi({ db, keys, registry, versions: anyProbe })],
      pages: [
        pageRoutes({
          db,
          config: { secret: randomBytes(32) },
          catalog,
          registry,
          changes,
          log: quiet,
          now,
          bus: { status: () => bus.status },
          stopping: stopping.signal,
          files: await bundleWeb(),
          ...options,
        }),
      ],
    },
  });
  const server = await serve({
    app,
    listen: { host: '127.0.0.1', port },
    tls: null,
    log: quiet,
    clockMs: Date.now,
  });
  return {
    url,
    db,
    bus,
    async region(name) {
      const { id } = await ensureRegion(db, name);
      const probeId = await probe(name);
      await db.run(
        `insert into probe_presence (probe_id, seen_at, lease_version, lease_expires_at, manifest, capacity, noise_us,
           dropped, spool_bytes, version, runtime)
         values ($1, now(), 1, now() + interval '6 hours', '', 500, 800, 0, 12345, '0.1.0', 'node 24.21.0')`,
        [probeId],
      );
      await registry.refresh();
      return { id, name, probeId };
    },
    probe,
    endpoint: (document) => catalog.add(endpointSchemas.http.parse(document)),
    remove: (id) => catalog.remove(id),
    async see(...seen) {
      const rows = seen.map((each) => rowOf(each, now()));
      await db.transaction(async (sql) => {
        for (let at = 0; at < rows.length; at += 1000) await insertResults(sql, rows.slice(at, at + 1000));
        await insertEvidence(sql, rows);
        const newest = newestOfEach(rows);
        for (let at = 0; at < newest.length; at += 1000)
          await upsertLatestResults(sql, newest.slice(at, at + 1000));
        await tellChange(sql, 'results');
      });
    },
    signInLink: () => createSignInLink(db, keys, url),
    async session(scopes = ['admin']) {
      return `parallax-loopback=${await createSession(db, keys, { actor: 'session:test', scopes })}`;
    },
    async token(scopes, regions) {
      const { token } = await createApiToken(db, keys, {
        name: 'test',
        scopes,
        regions,
        createdBy: 'test',
        expiresAt: null,
      });
      return token;
    },
    get: (path, cookie, headers = {}) =>
      fetch(`${url}${path}`, { redirect: 'manual', headers: { ...headers, ...(cookie && { cookie }) } }),
    async end() {
      stopping.abort();
      await server.stop(2000);
      registry.stop();
      await changes.stop();
      await keeper.stop();
      // Reads that the pages began end with the pool.
      await wait(50);
      await db.end();
      await database.drop();
      await rm(keysDir, { recursive: true });
    },
  };
}

/** The catalog's seam, without its rows: what may be checked is another part's matter. */
function memoryCatalog() {
  const endpoints = new Map<number, TrustedEndpoint>();
  const listeners = new Set<(changed: readonly number[]) => void>();
  const tell = (id: number) => {
    for (const listener of listeners) listener([id]);
  };
  return {
    all: () => endpoints.values(),
    subscribe(listener: (changed: readonly number[]) => void) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    add(endpoint: TrustedEndpoint['endpoint']): number {
      const id = endpoints.size + 1;
      endpoints.set(id, { id, rev: 1, endpoint, changedAtUs: 0, deleted: false });
      tell(id);
      return id;
    },
    byId: (id: number) => endpoints.get(id),
    reveal: (id: number) => endpoints.get(id)?.endpoint,
    regionsOf: () => 'all' as const,
    refresh: async () => undefined,
    remove(id: number) {
      endpoints.delete(id);
      tell(id);
    },
  } satisfies Pick<Catalog, 'all' | 'subscribe' | 'byId' | 'reveal' | 'regionsOf' | 'refresh'> &
    Record<string, unknown>;
}

function rowOf(seen: Seen, nowUs: number): ResultRow {
  const { endpointId, region, ago = 1, ms = 40, failed, message = '', status, suspect = false } = seen;
  const scheduledAt = Math.round(nowUs - ago * 1e6);
  const result: Result = {
    endpointId,
    rev: 1,
    regionId: region.id,
    probeId: region.probeId,
    kind: 'slot',
    scheduledAt,
    startedAt: scheduledAt,
    attempts: 1,
    outcome: failed ? outcomeOf(failed) : 'up',
    failure: failed ? failure(failed, message) : null,
    firstFailure: null,
    suspect,
    status: status ?? (failed ? null : 200),
    httpVersion: '1.1',
    remoteIp: '203.0.113.7',
    redirects: 0,
    timings: { dns: 1000, connect: 2000, tls: null, wait: 4000, transfer: 500, total: Math.round(ms * 1000) },
    bytes: 1234,
    truncated: false,
    facts: null,
    evidence: null,
    tls: null,
    lateBy: 400,
    ...seen.more,
  };
  return { regionId: region.id, result };
}
