import { randomBytes } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { verifyKeySet } from '../../shared/key-set.ts';
import { ed25519Thumbprint } from '../../shared/signing.ts';
import { makeFolder } from '../process/folder.ts';
import {
  createKeyFile,
  draftRoot,
  dropRootDraft,
  type KeyFile,
  keyFileName,
  readKeyFile,
  readRootFile,
  replaceKeyFile,
  rootFileName,
  settleRoot,
} from './key-files.ts';
import { makeEd25519Jwk, makeEs256Jwk, signingKeyOf } from './key-pair.ts';
import type { HubKeys } from './keys.ts';
import { KeysError } from './keys-error.ts';
import { readKeySetClaims, readRotationClaims, signKeySet } from './sign-key-set.ts';

export interface LoadKeysOptions {
  /** PARALLAX_KEYS. */
  readonly dir: string;
  readonly publicUrl: string;
  /** Epoch microseconds. */
  readonly now: () => number;
}

/**
 * The hub's keys from their folder, made there where it is empty. The root's private key may be elsewhere: then the hub
 * runs with what it once signed. Throws KeysError.
 */
export async function loadHubKeys({ dir, publicUrl, now }: LoadKeysOptions): Promise<HubKeys> {
  const found = await readKeyFile(dir);
  const file = found ?? (await makeKeys(dir, publicUrl, now() / 1000));
  const root = ed25519Thumbprint(readClaims(dir, file).root.x);
  await settleRoot(dir, root);
  const issued = readClaims(dir, file).iss === publicUrl ? file : await reissue(dir, file, publicUrl, now());
  return openKeys(dir, issued);
}

/** As they lie there, for a hub that runs: nothing is made or signed anew. Throws KeysError. */
export async function readHubKeys(dir: string): Promise<HubKeys> {
  const file = await readKeyFile(dir);
  if (!file) throw new KeysError('unreadable', `${join(dir, keyFileName)} is missing`);
  return openKeys(dir, file);
}

async function makeKeys(dir: string, publicUrl: string, nowMs: number): Promise<KeyFile> {
  await makeFolder(dir, 0o700).catch((error: NodeJS.ErrnoException) => {
    throw new KeysError(
      'unwritable',
      `the hub's keys need a folder, and ${dir} cannot be made (${error.code})`,
      {
        cause: error,
      },
    );
  });
  const lost = (await readdir(dir)).find((name) => /^root-.*\.json$/.test(name));
  const rootJwk = makeEd25519Jwk();
  const root = signingKeyOf(rootJwk);
  const madeAt = Math.floor(nowMs);
  const age = { madeAt, retiredAt: null };
  const lease = [{ jwk: makeEd25519Jwk(), ...age }];
  const keySet = await signKeySet({
    publicUrl,
    root,
    leaseKeys: lease.map(({ jwk }) => signingKeyOf(jwk)),
    chain: [],
    previousVersion: 0,
    nowMs: madeAt,
  });
  const file: KeyFile = {
    format: 1,
    hmac: randomBytes(32).toString('base64url'),
    lease,
    kafka: [{ jwk: makeEs256Jwk(), ...age }],
    keySet,
  };
  // A root with no keys is what a lost file leaves, not an empty folder. Another replica may be making both just now.
  if (lost !== undefined && !(await readKeyFile(dir))) {
    throw new KeysError(
      'damaged',
      `${dir} has ${lost} but no ${keyFileName}: bring it back from a backup, or empty the folder to begin anew (then every probe has to enroll again)`,
    );
  }
  await draftRoot(dir, root.kid, rootJwk);
  if (await createKeyFile(dir, file)) return file;
  await dropRootDraft(dir, root.kid);
  const theirs = await readKeyFile(dir);
  if (!theirs) throw new KeysError('unreadable', `${join(dir, keyFileName)} vanished while it was read`);
  return theirs;
}

/** The same keys under another public URL: takes the root, as every key set does. */
async function reissue(dir: string, file: KeyFile, publicUrl: string, nowUs: number): Promise<KeyFile> {
  const { iss, root, version } = readClaims(dir, file);
  const rootFile = join(dir, rootFileName(ed25519Thumbprint(root.x)));
  const rootKey = await readRootFile(rootFile);
  if (!rootKey) {
    throw new KeysError(
      'root_away',
      `the keys in ${dir} are for ${iss}, and PARALLAX_PUBLIC_URL is ${publicUrl}: set it back, or bring ${rootFile} back for one start, or run \`parallax keys rotate --public-url ${publicUrl} --root-key FILE\``,
    );
  }
  const leaseKeys = file.lease.map(({ jwk }) => signingKeyOf(jwk));
  const { chain } = file.keySet;
  const nowMs = Math.floor(nowUs / 1000);
  const keySet = await signKeySet({
    publicUrl,
    root: rootKey,
    leaseKeys,
    chain,
    previousVersion: version,
    nowMs,
  });
  const reissued = { ...file, keySet };
  await replaceKeyFile(dir, reissued);
  return reissued;
}

/** Proves what it loads: a set whose parts do not fit would mislead every probe. Throws KeysError. */
async function openKeys(dir: string, file: KeyFile): Promise<HubKeys> {
  try {
    const [firstLink] = file.keySet.chain;
    const newest = readKeySetClaims(file.keySet).root.x;
    const oldest = ed25519Thumbprint(firstLink ? readRotationClaims(firstLink).from.x : newest);
    const trusted = await verifyKeySet(file.keySet, oldest);
    const leaseKeys = file.lease.map(({ jwk }) => signingKeyOf(jwk));
    const kafkaKeys = file.kafka.map(({ jwk }) => signingKeyOf(jwk));
    const [lease] = leaseKeys;
    const [kafka] = kafkaKeys;
    if (!lease || !kafka) throw new Error('no key that signs');
    if (trusted.keys.map(({ kid }) => kid).join() !== leaseKeys.map(({ kid }) => kid).join()) {
      throw new Error('the key set names other keys');
    }
    const hmac = Buffer.from(file.hmac, 'base64url');
    return {
      lease,
      leaseKeys,
      kafka,
      kafkaKeys,
      hmac,
      rootThumbprint: trusted.root,
      keySet: file.keySet,
    };
  } catch (error) {
    throw notFitting(dir, error);
  }
}

function readClaims(dir: string, file: KeyFile) {
  try {
    return readKeySetClaims(file.keySet);
  } catch (error) {
    throw notFitting(dir, error);
  }
}

function notFitting(dir: string, cause: unknown): KeysError {
  const why = cause instanceof Error ? cause.message : String(cause);
  const file = join(dir, keyFileName);
  return new KeysError('damaged', `the parts of ${file} do not fit (${why}): bring it back from a backup`, {
    cause,
  });
}
