import type { KeyObject } from 'node:crypto';
import type { Logger } from 'pino';
import { verifyKeySet } from '../../shared/key-set.ts';
import { openCache } from '../state/cache.ts';
import type { DataFolder } from '../state/data-folder.ts';
import { type Enrolled, writeIdentity } from '../state/identity-file.ts';
import { fetchKeySet } from './key-ring.ts';
import { openHubLink } from './open-hub-link.ts';

export interface FollowOptions {
  readonly enrolled: Enrolled;
  /** `--hub`, where it was given. */
  readonly dial: string | null;
  readonly folder: DataFolder;
  readonly key: KeyObject;
  /** PEM of `--hub-ca`. */
  readonly ca: string | null;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

/**
 * A hub may get another public URL. The probe believes it where the probe's owner names another address and the root
 * that the probe pinned has signed, in the key set served there, what the hub is called now. Else all stays as it was.
 */
export async function followHub(options: FollowOptions): Promise<Enrolled> {
  const { enrolled, dial, folder, key, ca, env, log, signal } = options;
  if (dial === null || new URL(dial).origin === new URL(enrolled.hub).origin) return enrolled;
  const cache = openCache(folder);
  const link = openHubLink({ dial, hub: enrolled.hub, key, kid: enrolled.kid, env, ca });
  try {
    const document = await fetchKeySet(link, signal);
    const kept = await cache.readKeySet();
    const leastVersion = kept?.version ?? 1;
    // From the root that the last key set led to: one that was rotated away since enrollment has no say any more.
    const last =
      kept && (await verifyKeySet(kept.document, enrolled.root, { leastVersion }).catch(() => null));
    const found = await verifyKeySet(document, last?.root ?? enrolled.root, { leastVersion });
    if (found.issuer === enrolled.hub) return enrolled;
    const moved = { ...enrolled, hub: found.issuer };
    log.warn(
      { before: enrolled.hub, now: found.issuer },
      'the hub is called otherwise now: its root says so',
    );
    await cache.writeKeySet({ root: found.root, version: found.version, document });
    await writeIdentity(folder, moved);
    return moved;
  } catch (error) {
    if (signal.aborted) throw error;
    log.warn({ err: error, dialled: dial }, 'what the hub is called now could not be found out');
    return enrolled;
  } finally {
    await link.close();
  }
}
