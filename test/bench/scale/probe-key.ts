import { createHash, createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto';
import { ed25519Thumbprint } from '../../../shared/signing.ts';

export interface BenchProbeKey {
  readonly privateKey: KeyObject;
  readonly publicKey: string;
  readonly kid: string;
}

/** RFC 8410: an Ed25519 private key in PKCS #8 is this, then its 32 bytes. */
const pkcs8 = Buffer.from('302e020100300506032b657004220420', 'hex');

/** The key of the bench's probe number `n`: the same in every process, so that none has to be handed over. */
export function benchProbeKey(n: number): BenchProbeKey {
  const seed = createHash('sha256').update(`parallax bench probe ${n}`).digest();
  const privateKey = createPrivateKey({ key: Buffer.concat([pkcs8, seed]), format: 'der', type: 'pkcs8' });
  const { x = '' } = createPublicKey(privateKey).export({ format: 'jwk' });
  return { privateKey, publicKey: x, kid: ed25519Thumbprint(x) };
}
