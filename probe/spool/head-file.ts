import { join } from 'node:path';
import * as z from 'zod';
import { readIfThere, writeDurably } from '../state/durable-file.ts';
import { isUnreadable } from './read-spoilt.ts';

/** What a stream must not forget even where its segments are spoilt or gone. */
const headSchema = z.strictObject({
  /** Whose stream it is: another probe never speaks in it. */
  probeId: z.int().positive(),
  regionId: z.int().positive(),
  kid: z.string(),
  /** Epoch microseconds. */
  madeAt: z.int().min(0),
  /** No number above it was ever used. */
  reservedTo: z.int().min(0),
  /** What the hub has, as last heard before anything was deleted for it. */
  durable: z.int().min(0),
  dropped: z.int().min(0),
  /** No result is added any more: only what it holds is delivered. */
  closed: z.boolean(),
});
export type Head = z.output<typeof headSchema>;

/** Null where there is none, or none that can be read. */
export async function readHead(dir: string): Promise<Head | null> {
  const text = await readIfThere(headPath(dir)).catch((error: unknown) => {
    if (isUnreadable(error)) return null;
    throw error;
  });
  if (text === null) return null;
  try {
    return headSchema.parse(JSON.parse(text.toString('utf8')));
  } catch {
    return null;
  }
}

export async function writeHead(dir: string, head: Head): Promise<void> {
  await writeDurably(headPath(dir), `${JSON.stringify(head)}\n`);
}

function headPath(dir: string): string {
  return join(dir, 'head.json');
}
