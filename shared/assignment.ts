import { createHash } from 'node:crypto';
import * as z from 'zod';
import {
  type ExpectOf,
  type ProtocolName,
  protocolNames,
  protocolOfUrl,
  protocols,
  type RequestOf,
} from './protocols.ts';

const base = {
  id: z.int().positive(),
  rev: z.int().positive(),
  name: z.string(),
  url: z.string(),
  intervalMs: z.int().positive(),
  timeoutMs: z.int().positive(),
  replicas: z.int().positive(),
  retries: z.strictObject({ count: z.int().min(0), delayMs: z.int().min(0) }),
  robots: z.enum(['ignore', 'respect']),
  /**
   * What to tell of a failure beside what always is; absent for nothing. `sealed`: headers whose values are secrets
   * though their names do not say so.
   */
  evidence: z
    .object({
      body: z.boolean().default(false),
      trace: z.boolean().default(false),
      sealed: z.array(z.string()).default([]),
    })
    .optional(),
  /** Epoch microseconds of the change that made this rev: the extra slot is counted from here. */
  changedAt: z.int(),
};
const baseObject = z.strictObject(base);

/**
 * An endpoint as a region's probes receive it. `request` and `expect` travel in the form a person writes
 * (`2s`, `1MiB`) and decode to numbers; the other durations are integer milliseconds.
 * Values may still hold `${probe:NAME}`, which the probe resolves from its own environment.
 */
export type AssignmentOf<P extends ProtocolName> = z.output<typeof baseObject> & {
  readonly request: RequestOf<P>;
  readonly expect: ExpectOf<P>;
};
export type Assignment = { [P in ProtocolName]: AssignmentOf<P> }[ProtocolName];
/** Before decoding, as documents are written. */
export type EncodedAssignment = z.input<typeof baseObject> & {
  readonly request: unknown;
  readonly expect: unknown;
};

const schemaOf = Object.fromEntries(
  protocolNames.map((protocol) => {
    const { request, expect } = protocols[protocol];
    return [protocol, z.strictObject({ ...base, request, expect })];
  }),
) as unknown as { readonly [P in ProtocolName]: z.ZodType<AssignmentOf<P>> };

/** Of any protocol: which one is told by the URL's scheme. */
export const assignmentSchema = z
  .custom<EncodedAssignment>((value) => value !== null && typeof value === 'object', 'is not an assignment')
  .transform((value, context): Assignment => {
    const protocol = protocolOfUrl(String(value.url));
    if (protocol === null) {
      context.issues.push({ code: 'custom', input: value, path: ['url'], message: 'of no known protocol' });
      return z.NEVER;
    }
    const { success, data, error } = schemaOf[protocol].safeParse(value);
    if (success) return data;
    for (const { path, message } of error.issues) {
      context.issues.push({ code: 'custom', input: value, path: [...path], message });
    }
    return z.NEVER;
  });

/**
 * What stands for an endpoint that only a newer probe can read: it is due like any other, and each check of it says that
 * this one cannot. Null where not even its interval can be read.
 */
export function unreadAssignment(value: unknown): Assignment | null {
  const { success, data } = z.object(base).safeParse(value);
  // Of no protocol that there is.
  return success ? ({ ...data, url: 'unread:', request: {}, expect: {} } as unknown as Assignment) : null;
}

/** The part of a region's endpoints that moves between probes as one: served as exactly these bytes, named by their digest. */
export const shardDocumentSchema = z.strictObject({
  regionId: z.int().positive(),
  shard: z.int().min(0).max(255),
  endpoints: z.array(assignmentSchema),
});
export type ShardDocument = z.output<typeof shardDocumentSchema>;
/** The form that is sealed and served: as documents are written, before decoding. */
export type EncodedShardDocument = z.input<typeof shardDocumentSchema>;

/** What one probe shall check: slots from `from` to before `until` of endpoints with `replicas > rank`. Epoch microseconds. */
export const manifestSchema = z.strictObject({
  probeId: z.int().positive(),
  regionId: z.int().positive(),
  shards: z.array(
    z.strictObject({
      shard: z.int().min(0).max(255),
      digest: z.string().regex(/^[0-9a-f]{64}$/),
      rank: z.int().min(0),
      from: z.int(),
      until: z.int().nullable(),
    }),
  ),
});
export type Manifest = z.output<typeof manifestSchema>;
export type ManifestShard = Manifest['shards'][number];

export interface SealedDocument {
  /** SHA-256 of `bytes`, lower-case hex. */
  readonly digest: string;
  readonly bytes: Uint8Array;
}

export function sha256Hex(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** JSON with keys in order, so that equal content is equal bytes. */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_key, inner: unknown) =>
    inner !== null && typeof inner === 'object' && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)))
      : inner,
  );
}

/** The digest does not depend on the order in which the endpoints were given. */
export function sealShard(document: EncodedShardDocument): SealedDocument {
  const endpoints = document.endpoints.toSorted((a, b) => a.id - b.id);
  return seal({ ...document, endpoints });
}

export function sealManifest(manifest: Manifest): SealedDocument {
  const shards = manifest.shards.toSorted((a, b) => a.shard - b.shard || a.rank - b.rank || a.from - b.from);
  return seal({ ...manifest, shards });
}

function seal(document: unknown): SealedDocument {
  const bytes = new TextEncoder().encode(canonicalJson(document));
  return { digest: sha256Hex(bytes), bytes };
}
