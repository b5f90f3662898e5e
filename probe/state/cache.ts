import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod';
import { sha256Hex } from '../../shared/assignment.ts';
import type { DataFolder } from './data-folder.ts';
import { readIfThere, replaceFile, syncFolder, writeDurably } from './durable-file.ts';

const keptLeaseSchema = z.object({
  /** The JWS as it came. */
  lease: z.string(),
  /** This machine's clock when it came, epoch milliseconds. */
  receivedAt: z.int(),
});
export type KeptLease = z.output<typeof keptLeaseSchema>;

const keptKeySetSchema = z.object({ root: z.string(), version: z.int(), document: z.unknown() });
/** The last key set that was verified: the root that it led to, and its version, which only grows. */
export type KeptKeySet = z.output<typeof keptKeySetSchema>;

/**
 * Lease, manifest and shards on disk, so that a probe that starts while the hub is away goes on. Nothing here is
 * trusted for lying here: signatures and digests are looked at again. What is unreadable counts as absent.
 */
export interface Cache {
  readKeySet(): Promise<KeptKeySet | null>;
  writeKeySet(kept: KeptKeySet): Promise<void>;
  readLease(): Promise<KeptLease | null>;
  writeLease(kept: KeptLease): Promise<void>;
  /** Bytes with this digest, or null. */
  readDocument(digest: string): Promise<Uint8Array | null>;
  writeDocument(digest: string, bytes: Uint8Array): Promise<void>;
  /** Hub time up to which an earlier process took slots before it stopped in good order, or null. Asked once: it is deleted. */
  takeStop(): Promise<number | null>;
  writeStop(upToUs: number): Promise<void>;
  /** Deletes every document but these. */
  keepDocuments(digests: ReadonlySet<string>): Promise<void>;
  /** Lease and assignments, not who this probe is. */
  wipe(): Promise<void>;
}

export function openCache(folder: DataFolder): Cache {
  const fileOf = (digest: string) => join(folder.assignments, digest);
  return {
    readKeySet: () => readJson(folder.keySet, keptKeySetSchema),
    writeKeySet: (kept) => writeDurably(folder.keySet, JSON.stringify(kept)),
    readLease: () => readJson(folder.lease, keptLeaseSchema),
    async writeLease(kept) {
      // Whoever finds this lease finds the documents that it names.
      await syncFolder(folder.assignments);
      await writeDurably(folder.lease, JSON.stringify(kept));
    },
    async readDocument(digest) {
      const bytes = await readIfThere(fileOf(digest));
      return bytes !== null && sha256Hex(bytes) === digest ? bytes : null;
    },
    writeDocument: (digest, bytes) => replaceFile(fileOf(digest), bytes),
    async takeStop() {
      const found = await readJson(folder.stop, z.strictObject({ upTo: z.int() }));
      await rm(folder.stop, { force: true });
      return found?.upTo ?? null;
    },
    writeStop: (upTo) => writeDurably(folder.stop, JSON.stringify({ upTo })),
    async keepDocuments(digests) {
      const names = await readdir(folder.assignments);
      const outlived = names.filter((name) => !digests.has(name));
      for (const name of outlived) await rm(fileOf(name), { force: true });
    },
    async wipe() {
      await rm(folder.lease, { force: true });
      await rm(folder.assignments, { recursive: true, force: true });
      await mkdir(folder.assignments, { mode: 0o700 });
    },
  };
}

async function readJson<Schema extends z.ZodType>(
  file: string,
  schema: Schema,
): Promise<z.output<Schema> | null> {
  const bytes = await readIfThere(file);
  if (bytes === null) return null;
  try {
    return schema.parse(JSON.parse(bytes.toString('utf8')));
  } catch {
    return null;
  }
}
