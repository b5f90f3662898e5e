import { constants, zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import type { SealedDocument } from '../../shared/assignment.ts';

/** One shard's document as it is kept: 390 endpoints are 250 KB of JSON and 15 to 30 KB packed. */
export interface StoredShard {
  readonly digest: string;
  readonly regionId: number;
  readonly shard: number;
  /** zstd of the sealed bytes, or these themselves where packing does not pay. */
  readonly bytes: Uint8Array;
  readonly packed: boolean;
  /** Of the sealed bytes. */
  readonly size: number;
}

export interface ShardStore {
  find(digest: string): StoredShard | undefined;
  /** In force from now on; `replaces` is kept a while for those who have just been told of it. */
  put(regionId: number, shard: number, sealed: SealedDocument, replaces: string | null): void;
  /** Packed bytes in memory. */
  bytes(): number;
}

/** A probe fetches within seconds of its lease; one with a slow line has this long. */
const keepRetiredMs = 3 * 60_000;
/** Past it the oldest retired documents go first: whoever still wants one gets a newer lease. */
const mostRetiredBytes = 64 * 1024 * 1024;

/** `nowMs`: a monotonic clock. */
export function createShardStore(
  nowMs: () => number = performance.now.bind(performance),
  limits: { readonly keepMs: number; readonly retiredBytes: number } = {
    keepMs: keepRetiredMs,
    retiredBytes: mostRetiredBytes,
  },
): ShardStore {
  const stored = new Map<string, StoredShard>();
  /** By digest, in the order in which they were replaced: until when. */
  const retired = new Map<string, number>();
  let total = 0;
  let retiredBytes = 0;

  function unretire(digest: string): void {
    if (!retired.delete(digest)) return;
    retiredBytes -= stored.get(digest)?.bytes.length ?? 0;
  }

  function forget(): void {
    for (const [digest, untilMs] of retired) {
      if (untilMs > nowMs() && retiredBytes <= limits.retiredBytes) return;
      unretire(digest);
      total -= stored.get(digest)?.bytes.length ?? 0;
      stored.delete(digest);
    }
  }

  return {
    find: (digest) => stored.get(digest),
    put(regionId, shard, sealed, replaces) {
      const known = stored.get(sealed.digest);
      if (known) unretire(sealed.digest);
      else {
        const one = { digest: sealed.digest, regionId, shard, ...pack(sealed.bytes) };
        stored.set(sealed.digest, one);
        total += one.bytes.length;
      }
      const before = replaces === null || replaces === sealed.digest ? undefined : stored.get(replaces);
      if (before) {
        unretire(before.digest);
        retired.set(before.digest, nowMs() + limits.keepMs);
        retiredBytes += before.bytes.length;
      }
      forget();
    },
    bytes: () => total,
  };
}

/** Level 1: a fifth of a millisecond a shard, and no larger here than level 9 (measured). */
export function pack(bytes: Uint8Array): { bytes: Uint8Array; packed: boolean; size: number } {
  const zipped = zstdCompressSync(bytes, { params: { [constants.ZSTD_c_compressionLevel]: 1 } });
  const packed = zipped.length < bytes.length;
  return { bytes: packed ? zipped : bytes, packed, size: bytes.length };
}

export function unpack({ bytes, packed, size }: Pick<StoredShard, 'bytes' | 'packed' | 'size'>): Uint8Array {
  return packed ? zstdDecompressSync(bytes, { maxOutputLength: size }) : bytes;
}
