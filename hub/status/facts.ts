import type { Database } from '../store/database.ts';
import { type DatabaseFacts, readDatabaseFacts } from '../store/database-facts.ts';
import { type HubReplicaRow, listReplicas } from '../store/hub-replicas.ts';
import { listLastingHoles } from '../store/list-lasting-holes.ts';
import { listOpenHoles, type OpenHole } from '../store/list-open-holes.ts';
import { listProbePresence, type ProbePresenceRow } from '../store/list-probe-presence.ts';
import { listRegions } from '../store/list-regions.ts';
import { listPartitionFacts, type PartitionFacts } from '../store/partition-facts.ts';
import { databaseClock } from '../store/partitions.ts';
import {
  type Alarm,
  type Arrivals,
  type LastBatch,
  listAlarms,
  listLastBatches,
  listRejectTotals,
  type RejectTotal,
  readArrivals,
} from '../store/recent-trouble.ts';
import { readSeal } from '../store/seal.ts';
import { listTableFacts, type TableFacts } from '../store/table-facts.ts';
import { type ReplicaReport, replicaReportSchema } from './replica-report.ts';

export interface Replica extends HubReplicaRow {
  /** Null where a version that we do not understand wrote it. */
  readonly says: ReplicaReport | null;
}

/** What the database knows of the whole network: enough for one screen, whoever asks, with a hub or without. */
export interface StatusFacts {
  /** The database's clock, epoch microseconds. */
  readonly nowUs: number;
  /** How long the database took for one plain question, milliseconds. */
  readonly latencyMs: number;
  readonly database: DatabaseFacts;
  readonly replicas: readonly Replica[];
  readonly regions: readonly { readonly id: number; readonly name: string }[];
  readonly probes: readonly ProbePresenceRow[];
  readonly arrivals: Arrivals;
  readonly lastBatches: readonly LastBatch[];
  readonly holes: readonly OpenHole[];
  /** Those of them for which the alarm was raised. */
  readonly lastingHoles: readonly OpenHole[];
  readonly rejects: readonly RejectTotal[];
  readonly partitions: readonly PartitionFacts[];
  readonly sealedUntilUs: number | null;
  readonly tables: readonly TableFacts[];
  readonly alarms: readonly Alarm[];
}

/** More would not fit a screen, and each is one row. */
const mostProbes = 20_000;

export async function readStatusFacts(db: Database): Promise<StatusFacts> {
  // The first may have to open a connection.
  await databaseClock(db);
  const beganMs = performance.now();
  const nowUs = await databaseClock(db);
  const latencyMs = performance.now() - beganMs;
  const replicas = await listReplicas(db);
  return {
    nowUs,
    latencyMs,
    database: await readDatabaseFacts(db),
    replicas: replicas.map((row) => ({
      ...row,
      says: replicaReportSchema.safeParse(row.report).data ?? null,
    })),
    regions: await listRegions(db),
    probes: await listProbePresence(db, mostProbes),
    arrivals: await readArrivals(db),
    lastBatches: await listLastBatches(db),
    holes: await listOpenHoles(db),
    lastingHoles: await listLastingHoles(db),
    rejects: await listRejectTotals(db),
    partitions: await listPartitionFacts(db),
    sealedUntilUs: await readSeal(db),
    tables: await listTableFacts(db),
    alarms: await listAlarms(db),
  };
}
