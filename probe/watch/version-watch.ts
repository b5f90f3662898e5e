import type { Logger } from 'pino';
import { compareVersions, type ProbeVersions } from '../../shared/probe-versions.ts';

/** Compares this probe's version with those that its hub takes, and says when it has to be updated. */
export interface VersionWatch {
  /** What a lease says; undefined where the hub is of a version that did not say it yet. */
  take(versions: ProbeVersions | undefined): void;
  /** Epoch seconds from which the hub refuses this version; null where it takes it for good. */
  refusedFrom(): number | null;
  /** Whether the hub is of a newer version. */
  isBehind(): boolean;
}

/** As long as it is so, somebody may read the log only now and then. */
const sayAgainMs = 24 * 3_600_000;

export function createVersionWatch(
  version: string,
  log: Pick<Logger, 'info' | 'error'>,
  nowMs: () => number = () => performance.now(),
): VersionWatch {
  let refusedFrom: number | null = null;
  let behind = false;
  let saidAtMs = Number.NEGATIVE_INFINITY;
  let newest = version;

  return {
    take(versions) {
      if (!versions) return;
      behind = compareVersions(version, versions.newest) < 0;
      refusedFrom = compareVersions(version, versions.oldest) < 0 ? versions.refusedFrom : null;
      if (refusedFrom !== null && nowMs() - saidAtMs >= sayAgainMs) {
        saidAtMs = nowMs();
        log.error(
          { version, oldest: versions.oldest, newest: versions.newest, until: new Date(refusedFrom * 1000) },
          'this probe is too old for its hub, which refuses it from then on: update it',
        );
      } else if (behind && newest !== versions.newest) {
        log.info(
          { version, newest: versions.newest },
          'the hub is of a newer version: this probe can be updated',
        );
      }
      newest = versions.newest;
    },
    refusedFrom: () => refusedFrom,
    isBehind: () => behind,
  };
}
