import { randomBytes } from 'node:crypto';
import { link, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import * as z from 'zod';
import { keySetDocumentSchema } from '../../shared/enrollment.ts';
import { type Ed25519Jwk, ed25519JwkSchema, es256JwkSchema, signingKeyOf } from './key-pair.ts';
import type { SigningKey } from './keys.ts';
import { KeysError } from './keys-error.ts';

/** Everything but the root in one file, so that no crash leaves half a set. */
export const keyFileName = 'hub-keys.json';

/** Epoch milliseconds; `retiredAt` is when another key began to sign in its place. */
const age = { madeAt: z.int(), retiredAt: z.int().nullable() };

const keyFileSchema = z.strictObject({
  format: z.literal(1),
  /** 32 bytes, base64url. */
  hmac: z.string().regex(/^[A-Za-z0-9_-]{43}$/),
  /** The one that signs now first. */
  lease: z.array(z.strictObject({ jwk: ed25519JwkSchema, ...age })).min(1),
  kafka: z.array(z.strictObject({ jwk: es256JwkSchema, ...age })).min(1),
  /** As it is served. */
  keySet: keySetDocumentSchema,
});
export type KeyFile = z.output<typeof keyFileSchema>;

export function rootFileName(thumbprint: string): string {
  return `root-${thumbprint}.json`;
}

/** Null where there is none. Throws KeysError. */
export async function readKeyFile(dir: string): Promise<KeyFile | null> {
  return readPrivate(join(dir, keyFileName), keyFileSchema);
}

/** The root's private key from this file; null where there is none. Throws KeysError. */
export async function readRootFile(file: string): Promise<SigningKey | null> {
  const jwk = await readPrivate(file, ed25519JwkSchema);
  if (!jwk) return null;
  try {
    return signingKeyOf(jwk);
  } catch (error) {
    throw damaged(file, error);
  }
}

/** True where it stands now; false where another process was faster: then theirs is the set. */
export async function createKeyFile(dir: string, content: KeyFile): Promise<boolean> {
  const draft = await writeDraft(dir, 'keys', content);
  try {
    await link(draft, join(dir, keyFileName));
    await syncFolder(dir);
    return true;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return false;
    throw unwritable(dir, error);
  } finally {
    await rm(draft, { force: true });
  }
}

export async function replaceKeyFile(dir: string, content: KeyFile): Promise<void> {
  const draft = await writeDraft(dir, 'keys', content);
  await rename(draft, join(dir, keyFileName)).catch((error: unknown) => {
    throw unwritable(dir, error);
  });
  await syncFolder(dir);
}

const draftOf = (thumbprint: string) => `.root-${thumbprint}.draft`;

/**
 * A new root waits as a draft until the key set that names it is in force, so that a crash between the two leaves
 * either the old pair or the new one.
 */
export async function draftRoot(dir: string, thumbprint: string, jwk: Ed25519Jwk): Promise<void> {
  await writeFileSynced(join(dir, draftOf(thumbprint)), jwk);
  await syncFolder(dir);
}

/** Puts the draft of today's root in its place, if there is one. */
export async function settleRoot(dir: string, thumbprint: string): Promise<void> {
  const names = await readdir(dir).catch((): string[] => []);
  if (!names.includes(draftOf(thumbprint))) return;
  await rename(join(dir, draftOf(thumbprint)), join(dir, rootFileName(thumbprint))).catch(
    (error: NodeJS.ErrnoException) => {
      // Another replica may have settled it.
      if (error.code !== 'ENOENT') throw unwritable(dir, error);
    },
  );
  await syncFolder(dir);
}

export async function dropRootDraft(dir: string, thumbprint: string): Promise<void> {
  await rm(join(dir, draftOf(thumbprint)), { force: true });
}

/** A start that lost a race still needs its own draft for a moment. */
const draftKeptMs = 60_000;

/** Takes away what a process that was killed left: drafts, and private keys of roots that have handed over. */
export async function tidyKeys(dir: string, retiredRoots: readonly string[], nowMs: number): Promise<void> {
  const retired = new Set(retiredRoots.map(rootFileName));
  for (const name of await readdir(dir).catch((): string[] => [])) {
    const file = join(dir, name);
    const isOldDraft = async () => {
      const { mtimeMs } = await stat(file).catch(() => ({ mtimeMs: nowMs }));
      return mtimeMs < nowMs - draftKeptMs;
    };
    const isDraft = /^\.(root|keys)-[\w-]+\.draft$/.test(name);
    if (retired.has(name) || (isDraft && (await isOldDraft()))) await rm(file, { force: true });
  }
}

async function readPrivate<Content>(file: string, schema: z.ZodType<Content>): Promise<Content | null> {
  let text: string;
  try {
    await refuseExposed(file);
    text = await readFile(file, 'utf8');
  } catch (error) {
    if (error instanceof KeysError) throw error;
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null;
    const why = error instanceof Error ? error.message : String(error);
    throw new KeysError('unreadable', `the hub's keys cannot be read: ${why}`, { cause: error });
  }
  try {
    return schema.parse(JSON.parse(text));
  } catch (error) {
    throw damaged(file, error);
  }
}

/** Windows has no such modes. */
async function refuseExposed(file: string): Promise<void> {
  if (process.platform === 'win32') return;
  const [{ mode }, folder] = await Promise.all([stat(file), stat(dirname(file))]);
  if (mode & 0o077) {
    throw new KeysError(
      'exposed',
      `${file} can be read by other users (mode ${(mode & 0o777).toString(8)}): run chmod 600 ${file}, and rotate the keys if anybody may have read it`,
    );
  }
  // With the sticky bit, as Kubernetes mounts a secret, nobody takes away another's files.
  if (folder.mode & 0o022 && !(folder.mode & 0o1000)) {
    throw new KeysError(
      'exposed',
      `other users can write to ${dirname(file)} (mode ${(folder.mode & 0o777).toString(8)}): run chmod 700 ${dirname(file)}`,
    );
  }
}

async function writeDraft(dir: string, what: string, content: unknown): Promise<string> {
  const draft = join(dir, `.${what}-${randomBytes(6).toString('hex')}.draft`);
  await writeFileSynced(draft, content);
  return draft;
}

async function writeFileSynced(file: string, content: unknown): Promise<void> {
  try {
    const handle = await open(file, 'wx', 0o600);
    try {
      await handle.writeFile(`${JSON.stringify(content, null, 2)}\n`);
      await handle.sync();
    } finally {
      await handle.close();
    }
  } catch (error) {
    await rm(file, { force: true }).catch(() => undefined);
    throw unwritable(dirname(file), error);
  }
}

async function syncFolder(dir: string): Promise<void> {
  // Windows opens no folders.
  const handle = await open(dir, 'r').catch(() => null);
  await handle?.sync().catch(() => undefined);
  await handle?.close();
}

function damaged(file: string, cause: unknown): KeysError {
  return new KeysError(
    'damaged',
    `${file} is damaged: bring it back from a backup (without it no enrolled probe is known)`,
    { cause },
  );
}

function unwritable(dir: string, cause: unknown): KeysError {
  const why = cause instanceof Error && 'code' in cause ? String(cause.code) : String(cause);
  return new KeysError(
    'unwritable',
    `the hub's keys cannot be written to ${dir} (${why}): give this user the right to and room, or name another folder in PARALLAX_KEYS`,
    { cause },
  );
}
