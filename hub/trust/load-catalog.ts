import { setImmediate as breathe } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { Endpoint } from '../../shared/endpoint.ts';
import type { Changes } from '../store/changes.ts';
import type { Database } from '../store/database.ts';
import type { EndpointRow } from '../store/endpoint-row.ts';
import {
  lastEndpointChange,
  type PastRegions,
  readChangedEndpoints,
  readEndpointsById,
  readEndpointVersions,
  readPastRegions,
} from '../store/read-endpoints.ts';
import type { Catalog, TrustedEndpoint } from './catalog.ts';
import { type CatalogMetrics, createCatalogMetrics } from './catalog-metrics.ts';
import { checkSecret } from './check-secret.ts';
import { createDecoder, encodeEndpoint } from './decode-endpoint.ts';
import { endpointRowHolds } from './endpoint-rows.ts';
import type { HubKeys } from './keys.ts';
import { oneLook } from './one-look.ts';
import { createRegionHistory } from './region-history.ts';
import { createSecretBox, openDocument, type Sealed } from './sealed-secrets.ts';

export interface CatalogOptions {
  readonly db: Database;
  readonly keys: Pick<HubKeys, 'hmac'>;
  /** PARALLAX_SECRET, 32 bytes. */
  readonly secret: Uint8Array;
  /** PARALLAX_SECRET_ALSO: what else opens credentials while the secret is changed. */
  readonly alsoSecrets?: readonly Uint8Array[];
  readonly changes: Changes;
  readonly log: Pick<Logger, 'info' | 'warn' | 'error'>;
  readonly retentionDays: number;
  /** Epoch microseconds. */
  readonly now?: () => number;
  readonly metrics?: CatalogMetrics;
}

interface Entry {
  readonly trusted: TrustedEndpoint;
  readonly sealed: Sealed | null;
}

const rowsARead = 2000;
const dayUs = 86_400_000_000;
const retryMs = 1000;
/** So often the whole is compared: a database set back to a backup changes rows behind our mark. */
const compareMs = 300_000;

/**
 * Resolves when every endpoint is read. Throws SettingsError where PARALLAX_SECRET is not this database's. Rows whose
 * HMAC does not hold are left out, told of once, and counted.
 */
export async function startCatalog(options: CatalogOptions): Promise<Catalog> {
  const { db, keys, secret, changes, log, retentionDays, now = () => Date.now() * 1000 } = options;
  const { metrics = createCatalogMetrics() } = options;
  await checkSecret(db, secret, options.alsoSecrets);
  const box = createSecretBox(secret, options.alsoSecrets);
  const decode = createDecoder();
  const regions = createRegionHistory(now, retentionDays * dayUs);
  const listeners = new Set<(changed: readonly number[]) => void>();
  const entries = new Map<number, Entry>();
  const untrusted = new Set<number>();
  let mark = { changedAtUs: 0, id: 0 };
  let comparedAtMs = performance.now();
  let retry: NodeJS.Timeout | undefined;
  let stopped = false;

  function take(row: EndpointRow): void {
    const trusted = trust(row);
    if (!trusted) {
      entries.delete(row.id);
      regions.forget(row.id);
      // A deleted one can make nobody check anything.
      if (row.deleted) untrusted.delete(row.id);
      return;
    }
    untrusted.delete(row.id);
    const sealed = Object.keys(row.sealed).length > 0 ? row.sealed : null;
    entries.set(row.id, { trusted, sealed });
    regions.now(row.id, trusted.endpoint.regions, row.deleted ? row.changedAtUs : null);
  }

  function trust(row: EndpointRow): TrustedEndpoint | null {
    const { id, rev, name, changedAtUs, deleted } = row;
    const told = untrusted.has(id);
    untrusted.add(id);
    if (!endpointRowHolds(keys.hmac, row)) {
      if (!told && !deleted)
        log.error({ endpoint: id, name }, 'an endpoint was not written by the hub: left out');
      return null;
    }
    try {
      return { id, rev, endpoint: decode(row.spec), changedAtUs, deleted };
    } catch (error) {
      if (!told) log.error({ err: error, endpoint: id, name }, 'an endpoint is not understood: left out');
      return null;
    }
  }

  /** Reads whatever is not here as it is there: all of it at first, later what no change told of. */
  async function compare(): Promise<Set<number>> {
    comparedAtMs = performance.now();
    const cutoff = now() - retentionDays * dayUs;
    const there = await readEndpointVersions(db, cutoff);
    const ids = new Set(there.map(({ id }) => id));
    const gone = [...entries.keys(), ...untrusted].filter((id) => !ids.has(id));
    const different = there.filter(({ id, rev, changedAtUs }) => {
      const trusted = entries.get(id)?.trusted;
      return trusted?.rev !== rev || trusted.changedAtUs !== changedAtUs;
    });
    for (const id of gone) drop(id);
    for (let from = 0; from < different.length; from += rowsARead) {
      const part = different.slice(from, from + rowsARead).map(({ id }) => id);
      for (const row of await readEndpointsById(db, part)) take(row);
      await breathe();
    }
    takePast(await readPastRegions(db, cutoff, null));
    const last = there.reduce((most, { changedAtUs }) => Math.max(most, changedAtUs), 0);
    mark = { changedAtUs: last, id: Number.MAX_SAFE_INTEGER };
    return new Set([...gone, ...different.map(({ id }) => id)]);
  }

  async function readChanges(): Promise<Set<number>> {
    const changed = new Set<number>();
    for (;;) {
      const rows = await readChangedEndpoints(db, mark, rowsARead);
      for (const row of rows) {
        take(row);
        changed.add(row.id);
      }
      const last = rows.at(-1);
      if (last) mark = { changedAtUs: last.changedAtUs, id: last.id };
      if (rows.length < rowsARead) break;
      await breathe();
    }
    // Later rows of the same instant do not come: one transaction has one instant, and no two have the same.
    takePast(await readPastRegions(db, now() - retentionDays * dayUs, [...changed]));
    return changed;
  }

  function takePast(past: readonly PastRegions[]): void {
    for (const one of past) regions.past(one.id, one.regions, one.untilUs);
  }

  function drop(id: number): void {
    entries.delete(id);
    untrusted.delete(id);
    regions.forget(id);
  }

  async function read(): Promise<void> {
    const due = performance.now() - comparedAtMs >= compareMs;
    const changed =
      due || (await lastEndpointChange(db)) < mark.changedAtUs ? await compare() : await readChanges();
    count();
    if (changed.size === 0) return;
    const ids = [...changed];
    for (const listener of listeners) listener(ids);
  }

  function count(): void {
    let alive = 0;
    for (const { trusted } of entries.values()) if (!trusted.deleted) alive += 1;
    metrics.counted(alive, untrusted.size);
  }

  const refresh = oneLook(read);

  function follow(): void {
    clearTimeout(retry);
    if (stopped) return;
    const again = (afterMs: number) => {
      clearTimeout(retry);
      if (!stopped) retry = setTimeout(follow, afterMs).unref();
    };
    refresh().then(
      () => again(compareMs),
      (error: unknown) => {
        log.warn({ err: error }, 'endpoints could not be read again: going on with those known');
        again(retryMs);
      },
    );
  }

  await compare();
  count();
  const unsubscribe = changes.subscribe('endpoints', follow);
  follow();

  return {
    *all() {
      for (const { trusted } of entries.values()) if (!trusted.deleted) yield trusted;
    },
    byId: (id) => entries.get(id)?.trusted,
    reveal(id): Endpoint | undefined {
      const entry = entries.get(id);
      if (!entry?.sealed) return entry?.trusted.endpoint;
      const { trusted, sealed } = entry;
      const { clear, lost } = openDocument(box, id, { spec: encodeEndpoint(trusted.endpoint), sealed });
      if (lost.length === 0) return decode(clear);
      log.error({ endpoint: id, fields: lost }, 'secrets cannot be opened: the endpoint is left out');
      return undefined;
    },
    regionsOf: (id) => regions.of(id),
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    refresh,
    stop() {
      stopped = true;
      clearTimeout(retry);
      unsubscribe();
    },
  };
}
