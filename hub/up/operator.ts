import { randomUUID } from 'node:crypto';
import { readFile, rename, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { type OperatorFile, operatorFile } from '../cli/hub-client.ts';
import { type Database, openDatabase } from '../store/database.ts';
import { createApiToken } from '../trust/api-tokens.ts';
import type { HubKeys } from '../trust/keys.ts';
import { readHubKeys } from '../trust/load-keys.ts';
import { createSignInLink } from '../trust/sign-in.ts';

/** Who `parallax up` is to the hub it started: it holds the hub's own keys and database, so it helps itself. */
export interface Operator {
  /** For commands of this binary. */
  readonly env: Readonly<Record<string, string>>;
  readonly token: string;
  /** Works once. */
  readonly signInLink: string;
}

/** Keeps the token of the last start while it is good, and writes it where the CLI beside it looks. */
export async function openOperator(
  folder: string,
  origin: string,
  databaseUrl: string,
  keysDir: string,
): Promise<Operator> {
  const keys = await readHubKeys(keysDir);
  const db = openDatabase({ url: databaseUrl, maxConnections: 1, applicationName: 'parallax-up' });
  try {
    const kept = await readToken(join(folder, operatorFile));
    const token = kept !== null && (await isGood(origin, kept)) ? kept : await makeToken(db, keys);
    await writeOperator(folder, { hub: origin, token });
    const signInLink = await createSignInLink(db, keys, origin);
    return { env: { PARALLAX_HUB: origin, PARALLAX_TOKEN: token }, token, signInLink };
  } finally {
    await db.end();
  }
}

async function makeToken(db: Database, keys: Pick<HubKeys, 'hmac'>): Promise<string> {
  const { token } = await createApiToken(db, keys, {
    name: `up on ${hostname()}`,
    scopes: ['admin'],
    regions: null,
    expiresAt: null,
    createdBy: 'up',
  });
  return token;
}

async function readToken(file: string): Promise<string | null> {
  const text = await readFile(file, 'utf8').catch(() => '');
  try {
    return (JSON.parse(text) as Partial<OperatorFile>).token ?? null;
  } catch {
    return null;
  }
}

async function isGood(origin: string, token: string): Promise<boolean> {
  const answer = await fetch(`${origin}/api/v1/regions`, {
    headers: { authorization: `Bearer ${token}` },
    signal: AbortSignal.timeout(10_000),
  }).catch(() => null);
  return answer?.ok ?? false;
}

/** Whole or not at all: a full disk must not leave half a token. */
async function writeOperator(folder: string, content: OperatorFile): Promise<void> {
  const draft = join(folder, `${operatorFile}.${randomUUID()}`);
  await writeFile(draft, `${JSON.stringify(content)}\n`, { mode: 0o600, flag: 'wx' });
  await rename(draft, join(folder, operatorFile));
}
