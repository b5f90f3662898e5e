import * as z from 'zod';
import { Failed } from '../../shared/command-line.ts';
import type { DataFolder } from './data-folder.ts';
import { readIfThere, writeDurably } from './durable-file.ts';

/** What a probe knows of itself after it enrolled. */
const enrolledSchema = z.strictObject({
  probeId: z.int().positive(),
  region: z.strictObject({ id: z.int().positive(), name: z.string() }),
  /** The hub's public URL. */
  hub: z.url(),
  /** Thumbprint of the hub's root at enrollment; the chain of key sets leads from here to today's. */
  root: z.string(),
  /** Thumbprint of the key that enrolled: another key in the folder is another probe. */
  kid: z.string(),
  enrolledAt: z.iso.datetime(),
  /** Why the hub wants this probe no more. */
  revoked: z.strictObject({ at: z.iso.datetime(), reason: z.string() }).nullable(),
});
export type Enrolled = z.output<typeof enrolledSchema>;

/** Null where this folder never enrolled. */
export async function readIdentity(folder: DataFolder): Promise<Enrolled | null> {
  const text = await readIfThere(folder.identity);
  if (text === null) return null;
  try {
    return enrolledSchema.parse(JSON.parse(text.toString('utf8')));
  } catch (error) {
    throw new Failed(
      `${folder.identity} is damaged: delete it and start with a token of the same region (the key stays, and so does the probe if the token is the one it came with)`,
      { cause: error },
    );
  }
}

export async function writeIdentity(folder: DataFolder, enrolled: Enrolled): Promise<void> {
  await writeDurably(folder.identity, `${JSON.stringify(enrolled, null, 2)}\n`);
}
