import type { KeyObject } from 'node:crypto';
import type { KeySetDocument } from '../../shared/enrollment.ts';

export interface SigningKey {
  readonly kid: string;
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
}

/** The hub's keys as loaded from PARALLAX_KEYS; `parallax keys rotate` writes new ones, and what is here moves with them. */
export interface HubKeys {
  /** Ed25519: enrollments and leases. */
  readonly lease: SigningKey;
  /** All Ed25519 keys of the key set, the signing one first: older ones still verify. */
  readonly leaseKeys: readonly SigningKey[];
  /** ES256: Kafka tokens. */
  readonly kafka: SigningKey;
  /** 32 bytes: row HMACs and nonces are derived from it by HKDF. */
  readonly hmac: Uint8Array;
  /** RFC 7638 thumbprint of the current root. */
  readonly rootThumbprint: string;
  /** The served key set with its chain (shared/enrollment.ts). */
  readonly keySet: KeySetDocument;
  /** All ES256 keys, the signing one first. */
  readonly kafkaKeys: readonly SigningKey[];
}
