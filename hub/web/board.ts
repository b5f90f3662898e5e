import { setTimeout as wait } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { Changes } from '../store/changes.ts';
import type { Database } from '../store/database.ts';
import { type LatestResultRow, listLatestResults, readHorizon } from '../store/list-latest-results.ts';
import { listProbePresence, type ProbePresenceRow } from '../store/list-probe-presence.ts';
import { listRecentTotals } from '../store/list-recent-totals.ts';
import type { Catalog } from '../trust/catalog.ts';
import type { Registry } from '../trust/registry.ts';
import { compare, inRegionOrder } from './region-order.ts';
import type { PageEndpoint, PageRegion } from './row.ts';
import { addToSpark, emptySpark, type Spark, sparkSlots } from './spark.ts';
import type { LatestResult } from './view.ts';

export interface BoardOptions {
  readonly db: Database;
  readonly catalog: Pick<Catalog, 'all' | 'subscribe'>;
  readonly registry: Pick<Registry, 'regions' | 'probeById'>;
  readonly changes: Pick<Changes, 'subscribe'>;
  readonly log: Pick<Logger, 'warn'>;
  /** Epoch microseconds. */
  readonly now: () => number;
  /** Least pause between two reads; a read that takes long makes it longer. Default 1000 ms. */
  readonly everyMs?: number;
  /** The same while nobody watches, so that the first page of the day has not all of the night to read. Default 15 s. */
  readonly idleMs?: number;
}

/** As the table has it; `trusted` tells whether the hub itself wrote what decides in that row. */
export interface PageProbe extends ProbePresenceRow {
  readonly trusted: boolean;
}

/** What one read brought. */
export interface Tick {
  readonly version: number;
  /** Endpoints with a new result, and the regions it came from. */
  readonly changed: ReadonlyMap<number, ReadonlySet<number>>;
  /** Endpoints or regions came, went or were edited. */
  readonly cast: boolean;
}

/** What is known of everything, held in memory and read once a second for all who look, however many they are. */
export interface Board {
  /** Reads now what changed since the last read, unless that was a moment ago. Throws where the database is away. */
  refresh(): Promise<void>;
  /** By team, those without one last, then by name: whatever their state, each keeps its place. */
  endpoints(): readonly PageEndpoint[];
  endpoint(id: number): PageEndpoint | undefined;
  regions(): readonly PageRegion[];
  latest(endpointId: number, regionId: number): LatestResult | undefined;
  /** By region. */
  latestOf(endpointId: number): ReadonlyMap<number, LatestResult> | undefined;
  probes(): readonly PageProbe[];
  /** Reads the probes now: for the pages of results they are read less often. */
  refreshProbes(): Promise<void>;
  /** Sparks of these endpoints, read where they are not held yet or have holes. */
  sparks(endpoints: readonly PageEndpoint[]): Promise<ReadonlyMap<number, Spark>>;
  spark(endpointId: number): Spark | undefined;
  /** Grows with every read that brought something; changedSince() tells what an older reader missed. */
  version(): number;
  /** The version in which endpoints or regions last came, went or were edited. */
  castVersion(): number;
  changedSince(version: number, endpointIds: readonly number[]): readonly number[];
  /** Slots that came to be seen a second, over the last ten. */
  rate(): number;
  /** Epoch seconds of the last read that went well; null before the first. */
  readAt(): number | null;
  /** When the newest result was due, epoch seconds; 0 for none. */
  newest(): number;
  /** Keeps reading while anybody watches. Returns how to stop. */
  watch(listener: (tick: Tick) => void): () => void;
  stop(): Promise<void>;
}

/** Most probes that are kept for the pages. */
export const maxProbes = 10_000;
/** Endpoints whose sparks are held; the ones longest unasked for go first. */
const maxSparks = 2000;
const presenceEveryMs = 5000;

function byTeamAndName(a: PageEndpoint, b: PageEndpoint): number {
  return Number(!a.team) - Number(!b.team) || compare(a.team, b.team) || compare(a.name, b.name);
}

export function startBoard(options: BoardOptions): Board {
  const { db, catalog, registry, changes, log, now, everyMs = 1000, idleMs = 15_000 } = options;
  const stopping = new AbortController();
  const latest = new Map<number, Map<number, LatestResult>>();
  const sparks = new Map<number, Spark>();
  const changedAt = new Map<number, number>();
  const listeners = new Set<(tick: Tick) => void>();
  /** One entry a read: of a million pairs, as many a second would be taken away one by one. */
  const arrivals: { readonly at: number; readonly slots: number }[] = [];
  let arrived = 0;
  let endpoints: PageEndpoint[] = [];
  let byId = new Map<number, PageEndpoint>();
  let regions: readonly PageRegion[] = [];
  let probes: readonly PageProbe[] = [];
  let castDirty = true;
  let horizon: string | null = null;
  let version = 0;
  let castAt = 0;
  let newest = 0;
  let readAt: number | null = null;
  let presenceAt = Number.NEGATIVE_INFINITY;
  let tookMs = 0;
  let reading: Promise<void> | null = null;
  let loop: Promise<void> | null = null;
  let wake = () => {};

  const unsubscribe = [
    catalog.subscribe(() => (castDirty = true)),
    changes.subscribe('probes', () => (presenceAt = Number.NEGATIVE_INFINITY)),
  ];

  function recast(): void {
    castDirty = false;
    const all = [...catalog.all()].map(({ id, endpoint }) => ({
      id,
      name: endpoint.name,
      url: endpoint.url,
      team: endpoint.tags.team ?? '',
      tags: Object.entries(endpoint.tags).map(([key, value]) => `${key}:${value}`),
      intervalMs: endpoint.interval,
      enabled: endpoint.enabled,
      regions: endpoint.regions.length === 0 ? null : new Set<string>(endpoint.regions),
    }));
    endpoints = all.sort(byTeamAndName);
    const before = byId;
    byId = new Map(endpoints.map((endpoint) => [endpoint.id, endpoint]));
    for (const id of before.keys()) if (!byId.has(id)) forget(id);
  }

  /** A deleted endpoint comes back under another id. */
  function forget(id: number): void {
    latest.delete(id);
    changedAt.delete(id);
    sparks.delete(id);
  }

  /** Takes one row in; false where it is known already. */
  function take({ endpointId, regionId, ...row }: LatestResultRow): boolean {
    const pairs = latest.get(endpointId) ?? new Map<number, LatestResult>();
    const before = pairs.get(regionId);
    if (before?.at === row.at && before.outcome === row.outcome && before.totalUs === row.totalUs)
      return false;
    pairs.set(regionId, row);
    latest.set(endpointId, pairs);
    newest = Math.max(newest, row.at);
    const intervalMs = byId.get(endpointId)?.intervalMs;
    const spark = sparks.get(endpointId);
    if (before && intervalMs) {
      const slots = Math.max(1, Math.min(100, Math.round(((row.at - before.at) * 1000) / intervalMs)));
      arrived += slots;
      if (spark && slots > 1) spark.stale = true;
    }
    if (spark && intervalMs && !row.suspect) {
      addToSpark(spark, Math.floor((row.at * 1000) / intervalMs), regionId, row);
    }
    return true;
  }

  async function readProbes(): Promise<void> {
    presenceAt = performance.now();
    const rows = await listProbePresence(db, maxProbes);
    probes = rows.map((row) => ({ ...row, trusted: registry.probeById(row.id)?.status === row.status }));
  }

  async function read(): Promise<void> {
    const began = performance.now();
    const nextHorizon = await readHorizon(db);
    const rows = await listLatestResults(db, horizon);
    const known = registry.regions();
    let cast = castDirty || known.length !== regions.length;
    if (cast || began - presenceAt >= presenceEveryMs) await readProbes();
    if (castDirty) recast();
    if (cast) regions = inRegionOrder(known);
    const first = horizon === null;
    horizon = nextHorizon;
    const changed = new Map<number, Set<number>>();
    for (const row of rows) {
      if (!take(row)) continue;
      const from = changed.get(row.endpointId) ?? new Set<number>();
      changed.set(row.endpointId, from.add(row.regionId));
    }
    const at = now() / 1e6;
    if (!first) arrivals.push({ at, slots: arrived });
    arrived = 0;
    while ((arrivals[0]?.at ?? at) < at - 10) arrivals.shift();
    readAt = at;
    tookMs = performance.now() - began;
    if (first) cast = false;
    if (changed.size > 0 || cast) version += 1;
    if (cast) castAt = version;
    for (const id of changed.keys()) changedAt.set(id, version);
    for (const listener of listeners) listener({ version, changed, cast });
  }

  function refresh(): Promise<void> {
    if (reading) return reading;
    if (readAt !== null && !castDirty && now() / 1e6 - readAt < everyMs / 1000) return Promise.resolve();
    reading = read().finally(() => (reading = null));
    loop ??= follow();
    return reading;
  }

  /** A read a second, and never more than a tenth of the time: a million pairs take longer. Rarely for nobody. */
  async function follow(): Promise<void> {
    while (!stopping.signal.aborted) {
      try {
        await refresh();
      } catch (error) {
        if (listeners.size > 0) log.warn({ err: error }, 'the live page cannot read results');
        // Whoever watches is to hear that, too.
        for (const listener of listeners) listener({ version, changed: new Map(), cast: false });
      }
      const watched = listeners.size > 0;
      const pause = watched ? Math.max(everyMs, tookMs * 10) : Math.max(idleMs, tookMs * 50);
      const woken = new AbortController();
      wake = () => watched || woken.abort();
      const ended = AbortSignal.any([stopping.signal, woken.signal]);
      await wait(pause, undefined, { signal: ended }).catch(() => undefined);
    }
  }

  return {
    refresh,
    endpoints: () => endpoints,
    endpoint: (id) => byId.get(id),
    regions: () => regions,
    latest: (endpointId, regionId) => latest.get(endpointId)?.get(regionId),
    latestOf: (endpointId) => latest.get(endpointId),
    probes: () => probes,
    refreshProbes: readProbes,
    spark: (id) => sparks.get(id),
    async sparks(wanted) {
      const missing = wanted.filter(({ id }) => sparks.get(id)?.stale ?? true);
      if (missing.length > 0) {
        const ids = regions.map(({ id }) => id);
        const rows = await listRecentTotals(db, missing, ids, sparkSlots, now() / 1000);
        for (const { id } of missing) sparks.set(id, emptySpark());
        for (const { endpointId, regionId, totals } of rows) {
          const spark = sparks.get(endpointId);
          if (!spark) continue;
          for (const [slot, totalUs, outcome] of totals)
            addToSpark(spark, slot, regionId, { totalUs, outcome });
        }
      }
      const given = new Map<number, Spark>();
      for (const { id } of wanted) {
        const spark = sparks.get(id) ?? emptySpark();
        given.set(id, spark);
        // Asked for last: to the end of the line.
        sparks.delete(id);
        sparks.set(id, spark);
      }
      for (const id of [...sparks.keys()].slice(0, Math.max(0, sparks.size - maxSparks))) sparks.delete(id);
      return given;
    },
    version: () => version,
    castVersion: () => castAt,
    changedSince: (since, ids) => ids.filter((id) => (changedAt.get(id) ?? 0) > since),
    rate: () => arrivals.reduce((sum, { slots }) => sum + slots, 0) / 10,
    readAt: () => readAt,
    newest: () => newest,
    watch(listener) {
      listeners.add(listener);
      loop ??= follow();
      wake();
      return () => listeners.delete(listener);
    },
    async stop() {
      stopping.abort();
      listeners.clear();
      for (const end of unsubscribe) end();
      await loop;
      await reading?.catch(() => undefined);
    },
  };
}
