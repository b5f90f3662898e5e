import { batchSchemas } from '../../shared/batch-schema.ts';
import { compareVersions, graceDays, type ProbeVersions } from '../../shared/probe-versions.ts';
import { claimNote } from '../store/claim-note.ts';
import type { Sql } from '../store/database.ts';
import { readHubNote } from '../store/hub-notes.ts';

export interface VersionsOptions {
  /** The hub's own version. */
  readonly newest: string;
  readonly oldest: string;
  /** Epoch microseconds. */
  readonly nowUs: number;
}

/**
 * Which probes this hub takes. The days of grace count from the first start of any hub on this database that wanted
 * probes so new: a restart, a second replica or a step back and forth again gives nobody more.
 */
export async function readProbeVersions(
  sql: Sql,
  { newest, oldest, nowUs }: VersionsOptions,
): Promise<ProbeVersions> {
  const key = `oldest probe ${oldest}`;
  await claimNote(sql, key, Math.floor(nowUs / 1_000_000));
  const since = Number(await readHubNote(sql, key));
  return {
    batchSchemas: Object.keys(batchSchemas).map(Number),
    newest,
    oldest,
    refusedFrom: since + graceDays * 86_400,
  };
}

/** Epoch milliseconds from which a probe of this version gets no lease; null where it is new enough. */
export function refusedFromMs(version: string | null, versions: ProbeVersions): number | null {
  if (version === null || compareVersions(version, versions.oldest) >= 0) return null;
  return versions.refusedFrom * 1000;
}
