import { createHash, type Hash } from 'node:crypto';
import { setImmediate as breathe } from 'node:timers/promises';
import type { Logger } from 'pino';
import { canonicalJson } from '../../shared/assignment.ts';
import { shardCount, shardOf } from '../../shared/slot.ts';
import { assignmentOf, isCheckedFrom } from './assignment-of.ts';
import type { Catalog, TrustedEndpoint } from './catalog.ts';
import type { LeaseMetrics } from './lease-metrics.ts';
import type { Registry } from './registry.ts';
import {
  createShardStore,
  type Packed,
  pack,
  type SealedShard,
  type ShardStore,
  type StoredShard,
} from './shard-store.ts';

/** What a manifest needs to know of one shard. */
export interface ShardFacts {
  readonly digest: string;
  readonly endpoints: number;
  /** Most replicas of any endpoint in it; 0 for an empty shard. */
  readonly replicas: number;
}

export interface RegionDocuments {
  readonly shards: readonly ShardFacts[];
  /** Grows whenever a digest is another one. */
  readonly version: number;
}

export interface ShardDocumentsOptions {
  readonly catalog: Pick<Catalog, 'all' | 'byId' | 'reveal' | 'subscribe'>;
  readonly registry: Pick<Registry, 'regionById'>;
  readonly log: Pick<Logger, 'error'>;
  readonly metrics: Pick<LeaseMetrics, 'documents'>;
  readonly store?: ShardStore;
  /** Edits are gathered for so long from the first one on. */
  readonly gatherMs?: number;
}

/** The sealed documents of every region that has asked; made again only for shards in which something changed. */
export interface ShardDocuments {
  /** Undefined until the region's are made, which this call begins. */
  ofRegion(regionId: number): RegionDocuments | undefined;
  /** Most replicas of any of the region's endpoints, at least 1. */
  ranksOf(regionId: number): number;
  find(digest: string): StoredShard | undefined;
  /** Makes what waits now. */
  settle(): Promise<void>;
  /** Called with the regions whose documents changed or are made for the first time. */
  subscribe(listener: (regionIds: readonly number[]) => void): () => void;
  stop(): Promise<void>;
}

interface LiveRegion {
  readonly id: number;
  readonly name: string;
  readonly shards: (ShardFacts | undefined)[];
  readonly dirty: Set<number>;
  version: number;
  changed: boolean;
  snapshot: RegionDocuments | undefined;
}

/** What regions share that check the same endpoints of a shard. */
interface SharedBody {
  readonly body: Packed;
  /** Of the body's bytes: each region's digest goes on from here. */
  readonly hash: Hash;
  readonly endpoints: number;
  readonly replicas: number;
}

/** The loop is not kept from others for longer than this and one shard's making (12 ms with 390 endpoints). */
const breatheEveryMs = 10;

export function createShardDocuments(options: ShardDocumentsOptions): ShardDocuments {
  const { catalog, registry, log, metrics, store = createShardStore(), gatherMs = 150 } = options;
  const regions = new Map<number, LiveRegion>();
  const members: Set<number>[] = Array.from({ length: shardCount }, () => new Set());
  /** Of shards with all their endpoints, for regions that come later: the usual one, which all regions share. */
  const whole = new Map<number, SharedBody>();
  const listeners = new Set<(regionIds: readonly number[]) => void>();
  const stopping = new AbortController();
  let ranks: ReadonlyMap<string, number> | null = null;
  let gathering: NodeJS.Timeout | undefined;
  let making: Promise<void> = Promise.resolve();

  for (const { id } of catalog.all()) members[shardOf(id)]?.add(id);

  const unsubscribe = catalog.subscribe((changed) => {
    ranks = null;
    for (const id of changed) {
      const shard = shardOf(id);
      const endpoint = catalog.byId(id);
      if (endpoint && !endpoint.deleted) members[shard]?.add(id);
      else members[shard]?.delete(id);
      whole.delete(shard);
      for (const region of regions.values()) region.dirty.add(shard);
    }
    gather();
  });

  function gather(): void {
    gathering ??= setTimeout(() => {
      gathering = undefined;
      settleAndTell();
    }, gatherMs);
  }

  function settleAndTell(): void {
    settle().catch((error: unknown) => {
      if (!stopping.signal.aborted) log.error({ err: error }, 'shard documents could not be made');
    });
  }

  function settle(): Promise<void> {
    making = making.catch(() => undefined).then(makeAll);
    return making;
  }

  async function makeAll(): Promise<void> {
    let made = 0;
    let breathedMs = performance.now();
    for (let shard = 0; shard < shardCount; shard += 1) {
      const dirty = [...regions.values()].filter((region) => region.dirty.has(shard));
      if (dirty.length === 0) continue;
      makeShard(shard, dirty);
      made += dirty.length;
      if (performance.now() - breathedMs < breatheEveryMs) continue;
      await breathe();
      stopping.signal.throwIfAborted();
      breathedMs = performance.now();
    }
    if (made === 0) return;
    metrics.documents(store.bytes(), made);
    const changed = [...regions.values()].filter((region) => region.changed);
    for (const region of changed) publish(region);
    if (changed.length > 0) for (const listener of listeners) listener(changed.map((region) => region.id));
  }

  /** An endpoint's text is the same in each region, and making and packing it is nearly all of the work. */
  function makeShard(shard: number, dirty: readonly LiveRegion[]): void {
    const known: TrustedEndpoint[] = [];
    for (const id of [...(members[shard] ?? [])].sort((a, b) => a - b)) {
      const trusted = catalog.byId(id);
      if (trusted && !trusted.deleted) known.push(trusted);
    }
    const bodies = new Map<string, SharedBody>();
    const kept = whole.get(shard);
    if (kept) bodies.set(everywhere, kept);
    for (const region of dirty) {
      const own = known.filter((trusted) => isCheckedFrom(trusted, region.name));
      const key = own.length === known.length ? everywhere : own.map(({ id }) => id).join(' ');
      const same = bodies.get(key) ?? makeBody(own);
      bodies.set(key, same);
      region.dirty.delete(shard);
      const before = region.shards[shard];
      const sealed = sealShard(region.id, shard, same);
      store.put(region.id, shard, sealed, before?.digest ?? null);
      if (before?.digest === sealed.digest) continue;
      region.shards[shard] = {
        digest: sealed.digest,
        endpoints: same.endpoints,
        replicas: same.replicas,
      };
      region.changed = true;
    }
    const all = bodies.get(everywhere);
    if (all) whole.set(shard, all);
  }

  function makeBody(endpoints: readonly TrustedEndpoint[]): SharedBody {
    const texts: string[] = [];
    let replicas = 0;
    for (const trusted of endpoints) {
      const text = textOf(trusted);
      if (text === null) continue;
      texts.push(text);
      replicas = Math.max(replicas, trusted.endpoint.replicas);
    }
    const bytes = Buffer.from(`{"endpoints":[${texts.join(',')}]`);
    return {
      body: pack(bytes),
      hash: createHash('sha256').update(bytes),
      endpoints: texts.length,
      replicas,
    };
  }

  /** Null where its secrets cannot be had: it is left out, and nothing else is. */
  function textOf(trusted: TrustedEndpoint): string | null {
    try {
      const revealed = catalog.reveal(trusted.id);
      if (revealed) return canonicalJson(assignmentOf(trusted, revealed));
      log.error({ endpoint: trusted.id }, 'the secrets of an endpoint cannot be opened: no probe gets it');
    } catch (error) {
      log.error({ err: error, endpoint: trusted.id }, 'an endpoint cannot be assigned: no probe gets it');
    }
    return null;
  }

  function publish(region: LiveRegion): void {
    region.changed = false;
    const shards = region.shards.filter((facts) => facts !== undefined);
    if (shards.length < shardCount) return;
    region.version += 1;
    region.snapshot = { shards, version: region.version };
  }

  function begin(regionId: number): undefined {
    const known = registry.regionById(regionId);
    if (!known || regions.has(regionId)) return;
    regions.set(regionId, {
      id: regionId,
      name: known.name,
      shards: Array.from({ length: shardCount }, () => undefined),
      dirty: new Set(Array.from({ length: shardCount }, (_, shard) => shard)),
      version: 0,
      changed: false,
      snapshot: undefined,
    });
    settleAndTell();
  }

  return {
    ofRegion: (regionId) => regions.get(regionId)?.snapshot ?? begin(regionId),
    ranksOf(regionId) {
      ranks ??= countRanks(catalog.all());
      const name = registry.regionById(regionId)?.name ?? '';
      return Math.max(1, ranks.get(everywhere) ?? 0, ranks.get(name) ?? 0);
    },
    find: (digest) => store.find(digest),
    settle,
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    async stop() {
      unsubscribe();
      clearTimeout(gathering);
      stopping.abort(new Error('stopped'));
      await making.catch(() => undefined);
    },
  };
}

const everywhere = '*';

/** Most replicas by the name of a region. */
function countRanks(endpoints: Iterable<TrustedEndpoint>): ReadonlyMap<string, number> {
  const ranks = new Map<string, number>();
  for (const { endpoint, deleted } of endpoints) {
    if (deleted || !endpoint.enabled || endpoint.replicas < 2) continue;
    for (const name of endpoint.regions.length === 0 ? [everywhere] : endpoint.regions) {
      ranks.set(name, Math.max(ranks.get(name) ?? 0, endpoint.replicas));
    }
  }
  return ranks;
}

/** The bytes of shared/assignment's sealShard: the body is all of them up to the region. */
function sealShard(regionId: number, shard: number, { body, hash }: SharedBody): SealedShard {
  const tail = Buffer.from(`,"regionId":${regionId},"shard":${shard}}`);
  return { digest: hash.copy().update(tail).digest('hex'), body, tail };
}
