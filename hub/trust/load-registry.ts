import type { Logger } from 'pino';
import { ed25519PublicKey } from '../../shared/signing.ts';
import type { Changes } from '../store/changes.ts';
import type { Database } from '../store/database.ts';
import { listProbes } from '../store/list-probes.ts';
import { listRegions } from '../store/list-regions.ts';
import type { ProbeRow } from '../store/probe-row.ts';
import type { Catalog } from './catalog.ts';
import { checkKeys } from './check-keys.ts';
import type { HubKeys } from './keys.ts';
import { probeRowHolds } from './probe-rows.ts';
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

/** A row as it was judged, so that only what changed is judged again. */
interface Judged {
  readonly mac: Buffer;
  readonly seal: string;
  readonly probe: RegisteredProbe | null;
}

interface Known {
  readonly judged: ReadonlyMap<number, Judged>;
  readonly byKid: ReadonlyMap<string, RegisteredProbe>;
  readonly byId: ReadonlyMap<number, RegisteredProbe>;
  readonly regions: readonly Region[];
  readonly regionById: ReadonlyMap<number, Region>;
  readonly regionIds: ReadonlyMap<string, number>;
  readonly allRegions: ReadonlySet<number>;
}

/** Resolves when the registry is read; throws KeysError where these keys are another database's. Rows whose HMAC does not hold are left out, told of once, and counted. */
export async function startRegistry(options: RegistryOptions): Promise<Registry> {
  const { db, keys, catalog, changes, log, metrics = createTrustMetrics() } = options;
  await checkKeys(db, keys);
  let known = await read(new Map());
  /** By the catalog's own set of names. */
  let regionSets = new WeakMap<ReadonlySet<string>, ReadonlySet<number>>();
  let running: Promise<void> | null = null;
  let next: Promise<void> | null = null;
  let stopped = false;

  async function read(before: ReadonlyMap<number, Judged>): Promise<Known> {
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

  function judge(row: ProbeRow, before: Judged | undefined): Judged {
    const { id, name, regionId, region, publicKey, thumbprint, status, enrollment } = row;
    const mac = Buffer.from(row.mac);
    const seal = JSON.stringify([name, regionId, region, publicKey, thumbprint, status, enrollment]);
    if (before && before.seal === seal && before.mac.equals(mac)) return before;
    if (!probeRowHolds(keys.hmac, row)) {
      log.error({ probe: id, name, region }, 'a probe in the database was not written by the hub: left out');
      return { mac, seal, probe: null };
    }
    const key = ed25519PublicKey(publicKey);
    return { mac, seal, probe: { id, name, regionId, kid: thumbprint, publicKey: key, status } };
  }

  const forgetRegions = () => {
    regionSets = new WeakMap();
  };

  async function readAgain(): Promise<void> {
    known = await read(known.judged);
    forgetRegions();
  }

  /** What is asked for while one look is under way may be too late for it: then there is one more, for all who ask. */
  function refreshProbes(): Promise<void> {
    if (!running) {
      running = readAgain().finally(() => {
        running = null;
      });
      return running;
    }
    next ??= running
      .catch(() => undefined)
      .then(() => {
        next = null;
        return refreshProbes();
      });
    return next;
  }

  const unsubscribeCatalog = catalog.subscribe(forgetRegions);
  const unsubscribe = changes.subscribe('probes', () => {
    if (stopped) return;
    refreshProbes().catch((error: unknown) =>
      log.warn({ err: error }, 'probes could not be read again: going on with those known'),
    );
  });

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
    async refresh() {
      await Promise.all([refreshProbes(), catalog.refresh()]);
    },
    stop() {
      stopped = true;
      unsubscribe();
      unsubscribeCatalog();
    },
  };
}
