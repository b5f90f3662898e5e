import * as z from 'zod';
import type { SealedBatch } from '../../shared/batch.ts';
import { gapSchema } from './journal-record.ts';
import type { SpoolRecord } from './record.ts';

const metaSchema = z.object({
  seq: z.int().positive(),
  /** The last journal entry that this batch and those before it hold. */
  coveredTo: z.int().min(0),
  results: z.int().min(0),
  /** Of its results, epoch microseconds; 0 where it has none. */
  fromScheduledAt: z.int().min(0),
  toScheduledAt: z.int().min(0),
  /** Epoch microseconds. */
  sealedAt: z.int().min(0),
  gaps: z.array(gapSchema),
  /** What the hub was known to have of this stream then. */
  durable: z.int().min(0),
  /** Results dropped since the stream began. */
  dropped: z.int().min(0),
  kid: z.string(),
  schema: z.string(),
  /** base64url. */
  sig: z.string(),
});
export type SealedMeta = z.output<typeof metaSchema>;

const batchType = 3;

/** The exact bytes that were signed, kept: a batch that is sent again is the same to the last bit. */
export function sealedRecord(meta: SealedMeta, value: Uint8Array): SpoolRecord {
  const head = Buffer.from(JSON.stringify(meta));
  const size = Buffer.alloc(4);
  size.writeUInt32BE(head.length);
  return { type: batchType, payload: Buffer.concat([size, head, value]) };
}

/** Null for what this version does not know. */
export function readMeta({ type, payload }: SpoolRecord): SealedMeta | null {
  if (type !== batchType || payload.length < 4) return null;
  try {
    return metaSchema.parse(JSON.parse(payload.toString('utf8', 4, 4 + payload.readUInt32BE(0))));
  } catch {
    return null;
  }
}

export function readSealed(
  record: SpoolRecord,
  stream: string,
): { meta: SealedMeta; batch: SealedBatch } | null {
  const meta = readMeta(record);
  if (!meta) return null;
  const { kid, schema, sig } = meta;
  const value = record.payload.subarray(4 + record.payload.readUInt32BE(0));
  return {
    meta,
    batch: { key: stream, value, headers: { kid, sig: Buffer.from(sig, 'base64url'), schema } },
  };
}
