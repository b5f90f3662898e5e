import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { Failed } from '../../shared/command-line.ts';
import type { ProbeKey } from '../../shared/enrollment.ts';
import { ed25519Thumbprint } from '../../shared/signing.ts';
import type { DataFolder } from './data-folder.ts';
import { readIfThere, writeDurably } from './durable-file.ts';

/** The probe's own key pair; the private part never leaves this folder. */
export interface OwnKey {
  readonly privateKey: KeyObject;
  readonly jwk: ProbeKey;
  /** RFC 7638 thumbprint. */
  readonly kid: string;
}

/** Null where none was made yet. */
export async function readKey(folder: DataFolder): Promise<OwnKey | null> {
  const pem = await readIfThere(folder.key);
  if (pem === null) return null;
  try {
    return ownKey(createPrivateKey({ key: pem, format: 'pem' }));
  } catch (error) {
    throw new Failed(
      `${folder.key} is damaged: put it back from a backup, or empty ${folder.path} and enroll anew with a new token`,
      { cause: error },
    );
  }
}

export async function makeKey(folder: DataFolder): Promise<OwnKey> {
  const { privateKey } = generateKeyPairSync('ed25519');
  await writeDurably(folder.key, privateKey.export({ format: 'pem', type: 'pkcs8' }));
  return ownKey(privateKey);
}

function ownKey(privateKey: KeyObject): OwnKey {
  const { kty, crv, x } = createPublicKey(privateKey).export({ format: 'jwk' });
  if (kty !== 'OKP' || crv !== 'Ed25519' || x === undefined) throw new Error('not an Ed25519 key');
  return { privateKey, jwk: { kty, crv, x }, kid: ed25519Thumbprint(x) };
}
