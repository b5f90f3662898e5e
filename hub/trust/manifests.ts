import { type ManifestShard, type SealedDocument, sealManifest } from '../../shared/assignment.ts';
import type { RegisteredProbe } from './registry.ts';
import type { ShardDocuments, ShardFacts } from './shard-documents.ts';
import type { ShardOwners } from './shard-owners.ts';
import type { ShardOwner } from './shard-seats.ts';

export interface Manifests {
  /** The probe's manifest as of now; null while its region's documents are being made. */
  of(probe: Pick<RegisteredProbe, 'id' | 'regionId'>): SealedDocument | null;
  /** One that this very probe was given a while ago, or now. */
  given(probeId: number, digest: string): SealedDocument | undefined;
}

interface Kept {
  readonly ownersVersion: number;
  readonly documentsVersion: number;
  readonly sealed: SealedDocument;
  /** The ones before it, newest first. */
  readonly before: readonly SealedDocument[];
}

/** A probe may fetch what a lease named while two further edits come. */
const keepBefore = 3;
/** Probes whose manifest is kept; one that was forgotten gets it made again. */
const mostKept = 20_000;

export function createManifests(
  owners: Pick<ShardOwners, 'ofProbe' | 'version'>,
  documents: Pick<ShardDocuments, 'ofRegion'>,
): Manifests {
  const kept = new Map<number, Kept>();
  return {
    of({ id, regionId }) {
      const region = documents.ofRegion(regionId);
      if (!region) return null;
      const [ownersVersion, documentsVersion] = [owners.version(regionId), region.version];
      const known = kept.get(id);
      if (known?.ownersVersion === ownersVersion && known.documentsVersion === documentsVersion) {
        return known.sealed;
      }
      const made = sealManifest({
        probeId: id,
        regionId,
        shards: owners.ofProbe(regionId, id).flatMap((row) => entryOf(row, region.shards[row.shard])),
      });
      const same = known?.sealed.digest === made.digest;
      const sealed = same ? known.sealed : made;
      const before = same ? known.before : known ? [known.sealed, ...known.before].slice(0, keepBefore) : [];
      kept.delete(id);
      kept.set(id, { ownersVersion, documentsVersion, sealed, before });
      const [oldest] = kept.keys();
      if (kept.size > mostKept && oldest !== undefined) kept.delete(oldest);
      return sealed;
    },
    given(probeId, digest) {
      const known = kept.get(probeId);
      return known && [known.sealed, ...known.before].find((sealed) => sealed.digest === digest);
    },
  };
}

/** Nothing for a shard in which the rank has nothing to check: a small network fetches a few documents, not 256. */
function entryOf(
  { shard, rank, fromUs, untilUs }: ShardOwner,
  facts: ShardFacts | undefined,
): ManifestShard[] {
  if (!facts || facts.replicas <= rank) return [];
  return [{ shard, digest: facts.digest, rank, from: fromUs, until: untilUs }];
}
