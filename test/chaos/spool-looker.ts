// A thread of its own: gives each new segment file in these spools a second name, however busy the rest of the runner is.
import { linkSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { parentPort, workerData } from 'node:worker_threads';

export interface LookerData {
  /** Spool folders by the name of their probe. */
  readonly spools: Map<string, string>;
  /** Where the second names stand. */
  readonly folder: string;
}

/** A message to the thread: one more spool. */
export interface WatchSpool {
  readonly probe: string;
  readonly spool: string;
}

/** Between probe, stream, file and inode in the name of a file: none of them has it. */
export const separator = '~';

const everyMs = 20;

/** Looks once. Never throws: what is gone meanwhile was deleted, or is looked at the next time. */
export function linkSegments({ spools, folder }: LookerData, known: Set<string>): void {
  for (const [probe, spool] of spools) {
    for (const stream of listed(spool)) {
      for (const file of listed(join(spool, stream))) {
        if (!/^(sealed|journal)-\d+$/.test(file)) continue;
        const path = join(spool, stream, file);
        // A power cut or a restored copy may put another file under the same name.
        const found = statSync(path, { throwIfNoEntry: false });
        if (!found) continue;
        const name = [probe, stream, file, found.ino].join(separator);
        if (known.has(name)) continue;
        try {
          linkSync(path, join(folder, name));
          known.add(name);
        } catch (error) {
          if (error instanceof Error && 'code' in error && error.code === 'EEXIST') known.add(name);
        }
      }
    }
  }
}

function listed(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

if (workerData !== null && typeof workerData === 'object' && 'spools' in workerData) {
  const data = workerData as LookerData;
  const known = new Set<string>();
  parentPort?.on('message', ({ probe, spool }: WatchSpool) => data.spools.set(probe, spool));
  for (;;) {
    linkSegments(data, known);
    await wait(everyMs);
  }
}
