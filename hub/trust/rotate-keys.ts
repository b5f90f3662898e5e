import { dirname, join, resolve } from 'node:path';
import { maxChainLinks, type RootRotation } from '../../shared/enrollment.ts';
import { ed25519Thumbprint } from '../../shared/signing.ts';
import { type FolderLock, lockFolder } from '../process/folder-lock.ts';
import {
  draftRoot,
  dropRootDraft,
  type KeyFile,
  keyFileName,
  readKeyFile,
  readRootFile,
  replaceKeyFile,
  rootFileName,
  settleRoot,
  tidyKeys,
} from './key-files.ts';
import { makeEd25519Jwk, makeEs256Jwk, signingKeyOf } from './key-pair.ts';
import type { SigningKey } from './keys.ts';
import { KeysError } from './keys-error.ts';
import { readKeySetClaims, readRotationClaims, signKeySet, signRootRotation } from './sign-key-set.ts';

export interface RotateOptions {
  /** PARALLAX_KEYS. */
  readonly dir: string;
  readonly lease?: boolean;
  readonly kafka?: boolean;
  readonly root?: boolean;
  /** The key set is signed for this address from now on. */
  readonly publicUrl?: string;
  /** Keys that were rotated before, or are now, verify no longer: after a theft. */
  readonly dropOld?: boolean;
  /** Where the root's private key is, if not in `dir`. A new root is written beside it. */
  readonly rootKeyFile?: string;
  /** Epoch microseconds. */
  readonly now: () => number;
}

export interface Rotated {
  readonly version: number;
  /** Thumbprint of the root, and the file of its private key where this rotation used it. */
  readonly root: string;
  readonly rootFile: string | null;
  readonly leaseKid: string;
  readonly kafkaKid: string;
  /** Ids of keys that verify no longer. */
  readonly dropped: readonly string[];
}

/** A lease lives hours and an enrollment token a day: what retired so long ago has nothing left to verify. */
const keptMs = 7 * 86_400_000;

type AgedKeys = KeyFile['lease'] | KeyFile['kafka'];

/**
 * Makes new keys and signs the key set that names them. Everything but the Kafka key takes the root, which may lie
 * elsewhere. Running hubs notice by themselves. Throws KeysError, and changes nothing then.
 */
export async function rotateKeys(options: RotateOptions): Promise<Rotated> {
  const lock = await lockKeys(options.dir);
  try {
    return await rotate(options);
  } finally {
    await lock.release();
  }
}

async function lockKeys(dir: string): Promise<FolderLock> {
  if (!(await readKeyFile(dir))) {
    throw new KeysError('unreadable', `there are no keys in ${dir}: a hub makes them when it starts first`);
  }
  const taken = await lockFolder(dir, 'rotate.lock').catch((error: NodeJS.ErrnoException) => {
    throw new KeysError('unwritable', `cannot write to ${dir} (${error.code})`, { cause: error });
  });
  if (taken.lock) return taken.lock;
  throw new KeysError('in_use', `process ${taken.heldBy} is rotating the keys in ${dir}: try again after it`);
}

async function rotate(options: RotateOptions): Promise<Rotated> {
  const { dir, dropOld = false } = options;
  const nowMs = Math.floor(options.now() / 1000);
  const file = await readKeyFile(dir);
  if (!file) throw new KeysError('unreadable', `${join(dir, keyFileName)} is missing`);
  const lease = renew(file.lease, options.lease ? makeEd25519Jwk() : null, nowMs, dropOld);
  const kafka = renew(file.kafka, options.kafka ? makeEs256Jwk() : null, nowMs, dropOld);
  const names = new Set([...lease.keys, ...kafka.keys].map(kidOf));
  const dropped = [...file.lease, ...file.kafka].map(kidOf).filter((kid) => !names.has(kid));
  const told = readKeySetClaims(file.keySet);
  const oldRoot = ed25519Thumbprint(told.root.x);
  const resign = options.root || options.publicUrl !== undefined || lease.changed;
  const content = { ...file, lease: lease.keys, kafka: kafka.keys };
  const done = {
    version: told.version,
    root: oldRoot,
    rootFile: null,
    leaseKid: kidOf(lease.keys[0]),
    kafkaKid: kidOf(kafka.keys[0]),
    dropped,
  };
  if (!resign) {
    await replaceKeyFile(dir, content);
    return done;
  }
  const { key, folder } = await findRoot(dir, oldRoot, options.rootKeyFile);
  const next = options.root ? await newRoot(folder) : null;
  const link = next ? [await signRootRotation(key, next, nowMs)] : [];
  const chain = [...file.keySet.chain, ...link].slice(-maxChainLinks);
  const keySet = await signKeySet({
    publicUrl: options.publicUrl ?? told.iss,
    root: next ?? key,
    leaseKeys: lease.keys.map(({ jwk }) => signingKeyOf(jwk)),
    chain,
    previousVersion: told.version,
    nowMs,
  });
  await replaceKeyFile(dir, { ...content, keySet }).catch(async (error: unknown) => {
    if (next) await dropRootDraft(folder, next.kid);
    throw error;
  });
  const root = (next ?? key).kid;
  if (next) await settleRoot(folder, next.kid);
  // What was named by --root-key is on the operator's own disk: theirs to destroy.
  if (options.rootKeyFile === undefined) await tidyKeys(dir, chain.map(oldRootOf), nowMs);
  const { version } = readKeySetClaims(keySet);
  return { ...done, version, root, rootFile: join(folder, rootFileName(root)) };
}

function renew<Keys extends AgedKeys>(
  keys: Keys,
  fresh: Keys[number]['jwk'] | null,
  nowMs: number,
  dropOld: boolean,
) {
  const retired = keys.map((key, index) =>
    index === 0 && fresh === null ? key : { ...key, retiredAt: key.retiredAt ?? nowMs },
  );
  const signing = fresh === null ? [] : [{ jwk: fresh, madeAt: nowMs, retiredAt: null }];
  const kept = [...signing, ...retired].filter(
    ({ retiredAt }) => retiredAt === null || (!dropOld && retiredAt > nowMs - keptMs),
  ) as Keys;
  return { keys: kept, changed: fresh !== null || kept.length !== keys.length };
}

function kidOf(key: AgedKeys[number] | undefined): string {
  if (!key) throw new Error('no key that signs');
  return signingKeyOf(key.jwk).kid;
}

async function newRoot(folder: string): Promise<SigningKey> {
  const jwk = makeEd25519Jwk();
  const key = signingKeyOf(jwk);
  await draftRoot(folder, key.kid, jwk);
  return key;
}

function oldRootOf(link: RootRotation): string {
  return ed25519Thumbprint(readRotationClaims(link).from.x);
}

/** The key of today's root, and the folder it lies in. */
async function findRoot(dir: string, thumbprint: string, file: string | undefined) {
  const folder = file === undefined ? dir : dirname(resolve(file));
  // An earlier rotation may have been killed just before its end.
  await settleRoot(folder, thumbprint);
  const inFolder = join(folder, rootFileName(thumbprint));
  const given = file === undefined ? null : await readRootFile(file);
  if (file !== undefined && !given) throw new KeysError('unreadable', `${file} is missing`);
  const key = given?.kid === thumbprint ? given : await readRootFile(inFolder);
  if (key?.kid === thumbprint) return { key, folder };
  throw new KeysError(
    'root_away',
    given
      ? `${file} holds the root ${given.kid}, and today's root is ${thumbprint}: name the file ${rootFileName(thumbprint)}`
      : `this takes the root's private key, and ${inFolder} is not there: name its file with --root-key`,
  );
}
