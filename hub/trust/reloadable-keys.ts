import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from 'pino';
import { keyFileName } from './key-files.ts';
import type { HubKeys } from './keys.ts';
import { type LoadKeysOptions, loadHubKeys, readHubKeys } from './load-keys.ts';
import { readKeySetClaims } from './sign-key-set.ts';

export interface ReloadableKeys {
  /** Always the newest: read a member when it is needed, keep none. */
  readonly keys: HubKeys;
  /** Looks now. True where they changed. */
  reload(): Promise<boolean>;
  stop(): void;
}

export interface ReloadableKeysOptions extends LoadKeysOptions {
  readonly log: Pick<Logger, 'info' | 'error'>;
  readonly everyMs?: number;
}

/**
 * Keys that follow their folder, so that `parallax keys rotate` needs no restart. Looked at by the clock: a watch tells
 * nothing of a network disk or a mounted secret. Throws KeysError where they cannot be loaded at first.
 */
export async function reloadableKeys(options: ReloadableKeysOptions): Promise<ReloadableKeys> {
  const { dir, publicUrl, log, everyMs = 5000 } = options;
  let current = await loadHubKeys(options);
  let seen = await markOf(dir);
  let failed: string | null = null;
  let looking: Promise<boolean> | null = null;

  async function look(): Promise<boolean> {
    const mark = await markOf(dir);
    if (mark === seen) return false;
    const fresh = await readHubKeys(dir);
    const { iss } = readKeySetClaims(fresh.keySet);
    if (iss !== publicUrl) throw new Error(`they are now for ${iss}: set PARALLAX_PUBLIC_URL and restart`);
    current = fresh;
    seen = mark;
    failed = null;
    log.info({ lease: fresh.lease.kid, kafka: fresh.kafka.kid, root: fresh.rootThumbprint }, 'keys changed');
    return true;
  }

  async function lookOrComplain(): Promise<boolean> {
    return look().catch((error: unknown) => {
      const why = error instanceof Error ? error.message : String(error);
      if (why !== failed)
        log.error({ dir, why }, 'changed keys cannot be loaded: going on with those before');
      failed = why;
      return false;
    });
  }

  function reload(): Promise<boolean> {
    looking ??= lookOrComplain().finally(() => {
      looking = null;
    });
    return looking;
  }

  const timer = setInterval(() => void reload(), everyMs);
  timer.unref();
  return {
    keys: {
      get lease() {
        return current.lease;
      },
      get leaseKeys() {
        return current.leaseKeys;
      },
      get kafka() {
        return current.kafka;
      },
      get kafkaKeys() {
        return current.kafkaKeys;
      },
      get hmac() {
        return current.hmac;
      },
      get rootThumbprint() {
        return current.rootThumbprint;
      },
      get keySet() {
        return current.keySet;
      },
    },
    reload,
    stop: () => clearInterval(timer),
  };
}

/** Another one whenever the file is another or was written. */
async function markOf(dir: string): Promise<string> {
  const found = await stat(join(dir, keyFileName), { bigint: true }).catch(() => null);
  return found ? `${found.ino}|${found.mtimeNs}|${found.size}` : 'none';
}
