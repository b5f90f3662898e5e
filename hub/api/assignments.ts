import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { Hono } from 'hono';
import { Problem } from '../problem.ts';
import type { Prover } from '../trust/prove-request.ts';
import type { RegisteredProbe } from '../trust/registry.ts';
import { type Packed, pack, packedShard, unpack } from '../trust/shard-store.ts';
import type { Leases } from '../trust/start-leases.ts';
import type { ApiEnv } from './operator.ts';

export interface AssignmentRoutesOptions {
  readonly prover: Pick<Prover, 'prove'>;
  readonly leases: Pick<Leases, 'manifests' | 'documents' | 'owners' | 'metrics'>;
}

interface Found extends Packed {
  readonly what: 'manifest' | 'shard';
}

const nothing = new Uint8Array();

/** GET /v1/assignments/<sha256>: a manifest or a shard, to whom it is for; to everybody else there is none. */
export function assignmentRoutes({ prover, leases }: AssignmentRoutesOptions): Hono<ApiEnv> {
  const { manifests, documents, owners, metrics } = leases;
  const app = new Hono<ApiEnv>();

  function find(probe: RegisteredProbe, digest: string): Found | undefined {
    const manifest = manifests.given(probe.id, digest);
    if (manifest) return { what: 'manifest', ...pack(manifest.bytes) };
    const shard = documents.find(digest);
    if (!shard || shard.regionId !== probe.regionId) return undefined;
    const own = owners.ofProbe(probe.regionId, probe.id).some((row) => row.shard === shard.shard);
    return own ? { ...packedShard(shard), what: 'shard' } : undefined;
  }

  /** Another replica may have told it of something that this one has not come to yet. */
  async function findNow(probe: RegisteredProbe, digest: string): Promise<Found | undefined> {
    manifests.of(probe);
    const found = find(probe, digest);
    if (found) return found;
    await Promise.all([documents.settle(), owners.refresh()]);
    manifests.of(probe);
    return find(probe, digest);
  }

  app.get('/v1/assignments/:digest', async (context) => {
    const request = context.req.raw;
    const probe = await prover.prove(request, nothing);
    const digest = context.req.param('digest');
    const found = /^[0-9a-f]{64}$/.test(digest) ? await findNow(probe, digest) : undefined;
    if (!found) {
      // The same for what never was, what is over and what is another's.
      throw new Problem(
        404,
        'assignment.unknown',
        'there is no such assignment for this probe: ask for a lease',
      );
    }
    const encoding = chooseEncoding(request.headers.get('accept-encoding') ?? '', found);
    // RFC 9110 8.8.3: an encoded form is another representation, and a strong tag says so.
    const etag = encoding === null ? `"${digest}"` : `"${digest}-${encoding}"`;
    const headers: Record<string, string> = {
      etag,
      vary: 'accept-encoding',
      'content-type': 'application/json',
      // Holds credentials: for this probe alone.
      'cache-control': 'private, max-age=31536000, immutable',
    };
    if (request.headers.get('if-none-match')?.includes(digest)) return context.body(null, 304, headers);
    const bytes = await encode(found, encoding);
    metrics.served(found.what, bytes.length);
    if (encoding !== null) headers['content-encoding'] = encoding;
    return context.body(Uint8Array.from(bytes), 200, headers);
  });
  return app;
}

type Encoding = 'zstd' | 'gzip';

function chooseEncoding(accepted: string, { packed }: Found): Encoding | null {
  if (!packed) return null;
  const weights = new Map(
    accepted.split(',').map((part) => {
      const [name = '', ...parameters] = part.split(';').map((piece) => piece.trim().toLowerCase());
      const q = parameters.find((piece) => piece.startsWith('q='))?.slice(2);
      return [name, q === undefined ? 1 : Number(q)] as const;
    }),
  );
  return (['zstd', 'gzip'] as const).find((name) => (weights.get(name) ?? 0) > 0) ?? null;
}

async function encode(found: Found, encoding: Encoding | null): Promise<Uint8Array> {
  if (encoding === 'zstd') return found.bytes;
  const plain = unpack(found);
  return encoding === 'gzip' ? promisify(gzip)(plain) : plain;
}
