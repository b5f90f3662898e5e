import { constants, zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { appendToFrame } from './zstd-frame.ts';

/** Bytes as they are kept: zstd, or themselves where packing does not pay. */
export interface Packed {
  readonly bytes: Uint8Array;
  readonly packed: boolean;
  /** Of what was packed. */
  readonly size: number;
}

/** One region's document of one shard: what it shares with other regions, and the end that is its own. */
export interface SealedShard {
  /** SHA-256 of the whole document, lower-case hex. */
  readonly digest: string;
  /** The shard's endpoints: 390 are 250 KB of JSON and 15 to 30 KB packed, the same object for all regions alike. */
  readonly body: Packed;
  readonly tail: Uint8Array;
}

export interface StoredShard extends SealedShard {
  readonly regionId: number;
  readonly shard: number;
}

export interface ShardStore {
  find(digest: string): StoredShard | undefined;
  /** In force from now on; `replaces` is kept a while for those who have just been told of it. */
  put(regionId: number, shard: number, sealed: SealedShard, replaces: string | null): void;
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
  /** How many documents hold a body: those in force, and those retired. */
  const uses = new Map<Packed, { inForce: number; retired: number }>();
  let total = 0;
  let retiredBytes = 0;

  function use(body: Packed, inForce: number, kept: number): void {
    const { length } = body.bytes;
    const count = uses.get(body) ?? { inForce: 0, retired: 0 };
    const bytesOf = () => [
      count.inForce + count.retired > 0 ? length : 0,
      count.inForce === 0 && count.retired > 0 ? length : 0,
    ];
    const [heldBefore = 0, retiredBefore = 0] = bytesOf();
    count.inForce += inForce;
    count.retired += kept;
    const [heldNow = 0, retiredNow = 0] = bytesOf();
    total += heldNow - heldBefore;
    retiredBytes += retiredNow - retiredBefore;
    if (heldNow > 0) uses.set(body, count);
    else uses.delete(body);
  }

  function forget(): void {
    for (const [digest, untilMs] of retired) {
      if (untilMs > nowMs() && retiredBytes <= limits.retiredBytes) return;
      retired.delete(digest);
      const one = stored.get(digest);
      if (one) use(one.body, 0, -1);
      stored.delete(digest);
    }
  }

  return {
    find: (digest) => stored.get(digest),
    put(regionId, shard, sealed, replaces) {
      const known = stored.get(sealed.digest);
      if (known && retired.delete(sealed.digest)) use(known.body, 1, -1);
      if (!known) {
        stored.set(sealed.digest, { ...sealed, regionId, shard });
        use(sealed.body, 1, 0);
      }
      const before = replaces === null || replaces === sealed.digest ? undefined : stored.get(replaces);
      if (before && !retired.has(before.digest)) {
        retired.set(before.digest, nowMs() + limits.keepMs);
        use(before.body, -1, 1);
      }
      forget();
    },
    bytes: () => total,
  };
}

/** Level 1: a fifth of a millisecond a shard, and no larger here than level 9 (measured). */
export function pack(bytes: Uint8Array): Packed {
  const zipped = zstdCompressSync(bytes, { params: { [constants.ZSTD_c_compressionLevel]: 1 } });
  const packed = zipped.length < bytes.length;
  return { bytes: packed ? zipped : bytes, packed, size: bytes.length };
}

export function unpack({ bytes, packed, size }: Packed): Uint8Array {
  return packed ? zstdDecompressSync(bytes, { maxOutputLength: size }) : bytes;
}

/** The whole document, packed where its body is. */
export function packedShard({ body, tail }: SealedShard): Packed {
  const size = body.size + tail.length;
  const bytes = body.packed
    ? appendToFrame(body.bytes, body.size, tail)
    : Buffer.concat([body.bytes, tail], size);
  return { bytes, packed: body.packed, size };
}
