import type { TrustedKey } from '../../shared/jws.ts';
import { keySetPath, type TrustedKeySet, verifyKeySet } from '../../shared/key-set.ts';
import type { Cache } from '../state/cache.ts';
import type { HubLink } from './hub-link.ts';
import { HubAnswerError } from './open-hub-link.ts';

/** The keys that the hub signs leases with, as far as this probe was led to them from the root it pinned. */
export interface KeyRing {
  keys(): readonly TrustedKey[];
  /** Fetches the newest key set. Rejects where the hub is away, or TokenError where what it serves is not to be believed. */
  refresh(signal: AbortSignal): Promise<void>;
}

export interface KeyRingOptions {
  readonly link: HubLink;
  readonly cache: Cache;
  /** The hub's public URL. */
  readonly hub: string;
  /** The root of the enrollment token. */
  readonly pinnedRoot: string;
}

const timeoutMs = 15_000;

/** Starts with what is kept on disk, verified anew. */
export async function openKeyRing({ link, cache, hub, pinnedRoot }: KeyRingOptions): Promise<KeyRing> {
  let current: TrustedKeySet | null = null;
  const kept = await cache.readKeySet();
  if (kept) {
    // A damaged cache is none: the pin in the identity is what trust rests on.
    current = await verifyKeySet(kept.document, pinnedRoot, {
      issuer: hub,
      leastVersion: kept.version,
    }).catch(() => null);
  }
  return {
    keys: () => current?.keys ?? [],
    async refresh(signal) {
      const document = await fetchKeySet(link, signal);
      const root = current?.root ?? pinnedRoot;
      const leastVersion = current?.version ?? kept?.version ?? 1;
      const found = await verifyKeySet(document, root, { issuer: hub, leastVersion });
      const changed = found.version !== current?.version;
      current = found;
      if (changed) await cache.writeKeySet({ root: found.root, version: found.version, document });
    },
  };
}

export async function fetchKeySet(link: HubLink, signal: AbortSignal): Promise<unknown> {
  const { status, body } = await link.request('GET', keySetPath, { timeoutMs, signal });
  if (status !== 200) throw new HubAnswerError(`the hub answered ${status} where its keys should be`);
  try {
    return JSON.parse(Buffer.from(body).toString('utf8'));
  } catch (error) {
    throw new HubAnswerError('the hub served a key set that is not JSON', { cause: error });
  }
}
