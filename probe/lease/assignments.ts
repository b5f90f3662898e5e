import type { Logger } from 'pino';
import * as z from 'zod';
import {
  type Assignment,
  assignmentSchema,
  type Manifest,
  manifestSchema,
  sha256Hex,
  unreadAssignment,
} from '../../shared/assignment.ts';
import type { HubLink } from '../hub/hub-link.ts';
import { HubAnswerError } from '../hub/open-hub-link.ts';
import { createBreather } from '../schedule/breather.ts';
import type { ShardInForce } from '../schedule/schedule.ts';
import type { Cache } from '../state/cache.ts';

/** The documents that a lease names by digest, from disk or from the hub; parsed once. */
export interface Assignments {
  /**
   * All shards of this manifest, or nothing: rejects where one cannot be had, or is not what its digest says. With
   * `online: false` only what lies on disk counts.
   */
  load(manifest: string, options: LoadOptions): Promise<readonly ShardInForce[]>;
}

export interface LoadOptions {
  readonly online: boolean;
  readonly signal: AbortSignal;
}

export interface AssignmentsOptions {
  readonly probeId: number;
  readonly regionId: number;
  readonly link: HubLink;
  readonly cache: Cache;
  readonly log: Logger;
}

interface ParsedShard {
  readonly shard: number;
  readonly endpoints: readonly Assignment[];
}

/** As in shared/assignment.ts, but an endpoint that a newer hub knows and this probe does not blinds none of the others. */
const looseShardSchema = z.object({
  regionId: z.int().positive(),
  shard: z.int().min(0).max(255),
  endpoints: z.array(z.unknown()),
});

const timeoutMs = 30_000;
const fetchesAtOnce = 4;

export function createAssignments({ probeId, regionId, link, cache, log }: AssignmentsOptions): Assignments {
  let parsed: ReadonlyMap<string, ParsedShard> = new Map();

  async function document(digest: string, { online, signal }: LoadOptions): Promise<Uint8Array> {
    const kept = await cache.readDocument(digest).catch(() => null);
    if (kept) return kept;
    if (!online) throw new Error(`${digest} is not on this disk`);
    const { status, body } = await link.request('GET', `/v1/assignments/${digest}`, { timeoutMs, signal });
    if (status !== 200) throw new HubAnswerError(`the hub answered ${status} for the assignments ${digest}`);
    if (sha256Hex(body) !== digest) {
      throw new HubAnswerError(`the hub served assignments whose bytes are not ${digest}: they are not used`);
    }
    await cache.writeDocument(digest, body).catch((error: unknown) => {
      log.warn({ err: error }, 'assignments could not be kept on disk: a restart needs the hub');
    });
    return body;
  }

  async function parseShard(bytes: Uint8Array, digest: string): Promise<ParsedShard> {
    const shard = read(looseShardSchema, bytes);
    if (shard.regionId !== regionId) throw new HubAnswerError(`the shard ${digest} is of another region`);
    const endpoints: Assignment[] = [];
    const breathe = createBreather();
    for (const endpoint of shard.endpoints) {
      await breathe();
      const { success, data, error } = assignmentSchema.safeParse(endpoint);
      if (success) {
        endpoints.push(data);
        continue;
      }
      const { id, rev } = (endpoint ?? {}) as { id?: unknown; rev?: unknown };
      const [issue] = error.issues;
      const why = `${issue?.path.join('.')}: ${issue?.message}`;
      log.error(
        { endpointId: id, rev, why },
        'this probe cannot read an endpoint: is it older than the hub?',
      );
      const standIn = unreadAssignment(endpoint);
      if (standIn) endpoints.push(standIn);
    }
    return { shard: shard.shard, endpoints };
  }

  async function loadManifest(digest: string, options: LoadOptions): Promise<Manifest> {
    const bytes = await document(digest, options);
    const manifest = read(manifestSchema, bytes);
    if (manifest.probeId !== probeId || manifest.regionId !== regionId) {
      throw new HubAnswerError('the manifest is of another probe or region: it is not used');
    }
    return manifest;
  }

  return {
    async load(digest, options) {
      const manifest = await loadManifest(digest, options);
      const next = new Map<string, ParsedShard>();
      const missing = [...new Set(manifest.shards.map((shard) => shard.digest))].values();
      const fetchSome = async () => {
        for (const each of missing) {
          next.set(each, parsed.get(each) ?? (await parseShard(await document(each, options), each)));
        }
      };
      await Promise.all(Array.from({ length: fetchesAtOnce }, fetchSome));
      parsed = next;
      return shardsInForce(manifest, next);
    },
  };
}

/** What JSON and zod say of it would quote it: there are secrets in assignments. */
function read<Schema extends z.ZodType>(schema: Schema, bytes: Uint8Array): z.output<Schema> {
  try {
    return schema.parse(JSON.parse(Buffer.from(bytes).toString('utf8')));
  } catch {
    throw new HubAnswerError('the hub served assignments that cannot be read: is this probe older than it?');
  }
}

function shardsInForce(
  manifest: Manifest,
  documents: ReadonlyMap<string, ParsedShard>,
): readonly ShardInForce[] {
  const byShard = Map.groupBy(manifest.shards, ({ shard }) => shard);
  return [...byShard].map(([shard, entries]) => {
    const digest = entries[0]?.digest ?? '';
    const document = documents.get(digest);
    if (document?.shard !== shard || entries.some((entry) => entry.digest !== digest)) {
      throw new HubAnswerError(`the manifest names a document for shard ${shard} that is of another`);
    }
    return { shard, digest, entries, endpoints: document.endpoints };
  });
}
