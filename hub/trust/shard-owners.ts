import type { Logger } from 'pino';
import type { Changes } from '../store/changes.ts';
import type { Database } from '../store/database.ts';
import { listShardOwners, type OwnerRow } from '../store/list-shard-owners.ts';
import { oneLook } from './one-look.ts';

/** Who checks which shard, as this replica knows; read again whenever anybody moves one. */
export interface ShardOwners {
  ofRegion(regionId: number): readonly OwnerRow[];
  /** In the region, also what has ended a moment ago or is announced. */
  ofProbe(regionId: number, probeId: number): readonly OwnerRow[];
  /** Another number whenever the region's rows are other ones. */
  version(regionId: number): number;
  /** Called with the regions in which something moved, after it is in force here. */
  subscribe(listener: (regionIds: readonly number[]) => void): () => void;
  refresh(): Promise<void>;
  stop(): void;
}

interface RegionOwners {
  readonly rows: readonly OwnerRow[];
  readonly byProbe: ReadonlyMap<number, readonly OwnerRow[]>;
  /** To see whether anything changed. */
  readonly text: string;
  readonly version: number;
}

const nobody: RegionOwners = { rows: [], byProbe: new Map(), text: '', version: 0 };

export async function startShardOwners(options: {
  readonly db: Database;
  readonly changes: Changes;
  readonly log: Pick<Logger, 'warn'>;
}): Promise<ShardOwners> {
  const { db, changes, log } = options;
  const listeners = new Set<(regionIds: readonly number[]) => void>();
  let regions: ReadonlyMap<number, RegionOwners> = new Map();
  let stopped = false;

  async function read(): Promise<void> {
    const rows = Map.groupBy(await listShardOwners(db), (row) => row.regionId);
    const changed: number[] = [];
    const next = new Map<number, RegionOwners>();
    for (const regionId of new Set([...regions.keys(), ...rows.keys()])) {
      const before = regions.get(regionId) ?? nobody;
      const after = regionOwners(rows.get(regionId) ?? [], before);
      next.set(regionId, after);
      if (after !== before) changed.push(regionId);
    }
    regions = next;
    if (changed.length > 0) for (const listener of listeners) listener(changed);
  }

  const refresh = oneLook(read);

  await refresh();
  const unsubscribe = changes.subscribe('shards', () => {
    if (stopped) return;
    refresh().catch((error: unknown) =>
      log.warn({ err: error }, 'who owns which shard could not be read again: going on with what is known'),
    );
  });
  const ofRegion = (regionId: number) => regions.get(regionId) ?? nobody;
  return {
    ofRegion: (regionId) => ofRegion(regionId).rows,
    ofProbe: (regionId, probeId) => ofRegion(regionId).byProbe.get(probeId) ?? [],
    version: (regionId) => ofRegion(regionId).version,
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    refresh,
    stop() {
      stopped = true;
      unsubscribe();
    },
  };
}

function regionOwners(rows: readonly OwnerRow[], before: RegionOwners): RegionOwners {
  const text = rows
    .map((row) => `${row.shard} ${row.rank} ${row.probeId} ${row.fromUs} ${row.untilUs}`)
    .join('\n');
  if (text === before.text) return before;
  return { rows, byProbe: Map.groupBy(rows, (row) => row.probeId), text, version: before.version + 1 };
}
