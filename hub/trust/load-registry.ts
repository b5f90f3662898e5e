import type { Logger } from 'pino';
import type { Changes } from '../store/changes.ts';
import type { Database } from '../store/database.ts';
import { findProbeByThumbprint } from '../store/find-probe.ts';
import { listProbes } from '../store/list-probes.ts';
import { listRegions } from '../store/list-regions.ts';
import type { Catalog } from './catalog.ts';
import { checkKeys } from './check-keys.ts';
import { createProbeJudge, type JudgedProbe } from './judge-probe.ts';
import type { HubKeys } from './keys.ts';
import { oneLook } from './one-look.ts';
import type { Region, RegisteredProbe, Registry } from './registry.ts';
import { createTrustMetrics, type TrustMetrics } from './trust-metrics.ts';

export interface RegistryOptions {
  readonly db: Database;
  readonly keys: Pick<HubKeys, 'hmac'>;
  readonly catalog: Pick<Catalog, 'regionsOf' | 'refresh' | 'subscribe'>;
  readonly changes: Changes;
  readonly log: Pick<Logger, 'warn' | 'error'>;
  readonly metrics?: TrustMetrics;
}

interface Known {
  readonly judged: Map<number, JudgedProbe>;
  readonly byKid: Map<string, RegisteredProbe>;
  readonly byId: Map<number, RegisteredProbe>;
  readonly regions: readonly Region[];
  readonly regionById: ReadonlyMap<number, Region>;
  readonly regionIds: ReadonlyMap<string, number>;
  readonly allRegions: ReadonlySet<number>;
}

/** 10,000 probes take 40 ms of this thread to read again, and while many enroll each of them is told of. */
const leastGapMs = 200;

/**
 * Resolves when the registry is read; throws KeysError where these keys are another database's. Rows whose HMAC does
 * not hold are left out, told of once, and counted.
 */
export async function startRegistry(options: RegistryOptions): Promise<Registry> {
  const { db, keys, catalog, changes, log, metrics = createTrustMetrics() } = options;
  await checkKeys(db, keys);
  const judge = createProbeJudge(keys, log);
  let known = await read(new Map());
  /** By the catalog's own set of names. */
  let regionSets = new WeakMap<ReadonlySet<string>, ReadonlySet<number>>();
  /** Probes that were read alone while a look at all was under way, which may have begun before they changed. */
  let learned = new Set<number>();
  let timer: NodeJS.Timeout | undefined;
  let toldMs = Number.NEGATIVE_INFINITY;

  async function read(before: ReadonlyMap<number, JudgedProbe>): Promise<Known> {
    const [regions, rows] = await Promise.all([listRegions(db), listProbes(db)]);
    const judged = new Map(rows.map((row) => [row.id, judge(row, before.get(row.id))]));
    const probes = [...judged.values()].flatMap(({ probe }) => probe ?? []);
    metrics.untrustedProbes(rows.length - probes.length);
    return {
      judged,
      byKid: new Map(probes.map((probe) => [probe.kid, probe])),
      byId: new Map(probes.map((probe) => [probe.id, probe])),
      regions,
      regionById: new Map(regions.map((region) => [region.id, region])),
      regionIds: new Map(regions.map(({ id, name }) => [name, id])),
      allRegions: new Set(regions.map(({ id }) => id)),
    };
  }

  const forgetRegions = () => {
    regionSets = new WeakMap();
  };

  async function readAgain(): Promise<void> {
    const since = new Set<number>();
    learned = since;
    const fresh = await read(known.judged);
    for (const id of since) put(fresh, id, known.judged.get(id));
    known = fresh;
    forgetRegions();
    if (since.size > 0) refreshSoon();
  }

  const refreshAll = oneLook(readAgain);

  async function refreshOne(kid: string): Promise<void> {
    const row = await findProbeByThumbprint(db, kid);
    if (!row) return;
    // A region that is new here changes more than this probe.
    if (!known.regionById.has(row.regionId)) return refreshAll();
    learned.add(row.id);
    put(known, row.id, judge(row, known.judged.get(row.id)));
  }

  function refreshSoon(): void {
    if (timer) return;
    const waitMs = Math.max(0, toldMs + leastGapMs - performance.now());
    timer = setTimeout(() => {
      timer = undefined;
      toldMs = performance.now();
      refreshAll().catch((error: unknown) =>
        log.warn({ err: error }, 'probes could not be read again: going on with those known'),
      );
    }, waitMs);
  }

  const unsubscribe = [changes.subscribe('probes', refreshSoon), catalog.subscribe(forgetRegions)];

  return {
    probeByKid: (kid) => known.byKid.get(kid),
    probeById: (id) => known.byId.get(id),
    regionById: (id) => known.regionById.get(id),
    regions: () => known.regions,
    regionsOfEndpoint(endpointId) {
      const names = catalog.regionsOf(endpointId);
      if (names === undefined || names === 'all') return names && known.allRegions;
      const kept = regionSets.get(names);
      if (kept) return kept;
      const ids = new Set([...names].flatMap((name) => known.regionIds.get(name) ?? []));
      regionSets.set(names, ids);
      return ids;
    },
    async refresh(kid) {
      if (kid !== undefined) await refreshOne(kid);
      else await Promise.all([refreshAll(), catalog.refresh()]);
    },
    stop() {
      for (const stop of unsubscribe) stop();
      clearTimeout(timer);
    },
  };
}

function put({ judged, byId, byKid }: Known, id: number, one: JudgedProbe | undefined): void {
  if (!one) return;
  judged.set(id, one);
  const before = byId.get(id);
  if (before) byKid.delete(before.kid);
  byId.delete(id);
  if (!one.probe) return;
  byId.set(id, one.probe);
  byKid.set(one.probe.kid, one.probe);
}
