import type { Logger } from 'pino';
import type { Registry as MetricsRegistry } from 'prom-client';
import type { ProbeVersions } from '../shared/probe-versions.ts';
import type { HubConfig } from './config.ts';
import type { Bus } from './ingest/bus.ts';
import type { Changes } from './store/changes.ts';
import type { Database } from './store/database.ts';
import type { Catalog } from './trust/catalog.ts';
import type { HubKeys } from './trust/keys.ts';
import type { Registry } from './trust/registry.ts';

/** Epoch microseconds; a seam for tests. */
export type Clock = () => number;

/** What main wires together once and every part of the hub takes as a parameter. */
export interface HubContext {
  readonly config: HubConfig;
  readonly log: Logger;
  readonly db: Database;
  readonly keys: HubKeys;
  readonly catalog: Catalog;
  readonly registry: Registry;
  readonly changes: Changes;
  readonly bus: Bus;
  /** Which probes this hub takes. */
  readonly versions: ProbeVersions;
  /** What /metrics shows. */
  readonly metrics: MetricsRegistry;
  readonly now: Clock;
  /** Aborted when the hub stops. */
  readonly stopping: AbortSignal;
}
