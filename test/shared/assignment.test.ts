import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  type AssignmentOf,
  canonicalJson,
  type EncodedShardDocument,
  manifestSchema,
  sealManifest,
  sealShard,
  sha256Hex,
  shardDocumentSchema,
} from '../../shared/assignment.ts';

const assignment = (id: number): EncodedShardDocument['endpoints'][number] => ({
  id,
  rev: 1 + (id % 3),
  name: `endpoint ${id}`,
  url: `https://shop.example/${id}`,
  intervalMs: 30_000,
  timeoutMs: 5000,
  replicas: 1,
  retries: { count: 0, delayMs: 1000 },
  robots: 'ignore',
  changedAt: 1_800_000_000_000_000,
  request: { headers: { b: '2', a: '1' } },
  expect: { slowerThan: '2s', body: { matches: ['^ok'] } },
});

const documentOf = (ids: readonly number[]): EncodedShardDocument => ({
  regionId: 3,
  shard: 7,
  endpoints: ids.map(assignment),
});

describe('sealed documents', () => {
  test("a shard's digest does not depend on the order of its endpoints, nor of their fields", () => {
    const ids = fc.uniqueArray(fc.integer({ min: 1, max: 10_000 }), { minLength: 2, maxLength: 30 });
    fc.assert(
      fc.property(
        ids.chain((given) =>
          fc.tuple(fc.constant(given), fc.shuffledSubarray(given, { minLength: given.length })),
        ),
        ([given, shuffled]) => {
          const sealed = sealShard(documentOf(given));
          expect(sealShard(documentOf(shuffled)).digest).toBe(sealed.digest);
          const turned = documentOf(given).endpoints.map((one) =>
            Object.fromEntries(Object.entries(one).reverse()),
          );
          expect(sealShard({ ...documentOf([]), endpoints: turned as never }).digest).toBe(sealed.digest);
        },
      ),
    );
  });

  test('any other content has another digest', () => {
    const base = sealShard(documentOf([1, 2])).digest;
    const others = [
      documentOf([1]),
      documentOf([1, 3]),
      { ...documentOf([1, 2]), shard: 8 },
      { ...documentOf([1, 2]), regionId: 4 },
      {
        ...documentOf([1, 2]),
        endpoints: [assignment(1), { ...assignment(2), url: 'https://evil.example/2' }],
      },
    ].map((document) => sealShard(document).digest);
    expect(new Set([base, ...others]).size).toBe(6);
  });

  test('the digest is that of the bytes served, and the bytes decode to assignments with numbers', () => {
    const { digest, bytes } = sealShard(documentOf([2, 1]));
    expect(sha256Hex(bytes)).toBe(digest);
    const decoded = shardDocumentSchema.parse(JSON.parse(new TextDecoder().decode(bytes)));
    expect(decoded.endpoints.map(({ id }) => id)).toEqual([1, 2]);
    expect(decoded.endpoints[0]?.expect.slowerThan).toBe(2000);
    const [first] = decoded.endpoints as AssignmentOf<'http'>[];
    expect(first?.expect.body.matches).toEqual([{ pattern: '^ok', engine: 're2' }]);
  });

  test('a document with a key that is not known is refused', () => {
    const { bytes } = sealShard(documentOf([1]));
    const text = new TextDecoder().decode(bytes).replace('"shard":7', '"shard":7,"more":1');
    expect(shardDocumentSchema.safeParse(JSON.parse(text)).success).toBe(false);
  });

  test("a manifest's digest does not depend on the order of its shards", () => {
    const shards = [3, 1, 2].flatMap((shard) => [
      { shard, digest: 'a'.repeat(64), rank: 1, from: 5, until: null },
      { shard, digest: 'a'.repeat(64), rank: 0, from: 5, until: 9 },
    ]);
    const manifest = { probeId: 1, regionId: 2, shards };
    const sealed = sealManifest(manifest);
    expect(sealManifest({ ...manifest, shards: shards.toReversed() }).digest).toBe(sealed.digest);
    expect(manifestSchema.parse(JSON.parse(new TextDecoder().decode(sealed.bytes))).shards).toHaveLength(6);
  });

  test('canonical JSON orders keys at every depth and leaves lists alone', () => {
    expect(canonicalJson({ b: [{ d: 1, c: 2 }, 1], a: null })).toBe('{"a":null,"b":[{"c":2,"d":1},1]}');
  });
});
