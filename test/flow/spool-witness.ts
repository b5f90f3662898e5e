import { link, mkdir, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { crc32 } from 'node:zlib';
import { journalEntry } from '../../probe/spool/journal-record.ts';
import { scanRecords } from '../../probe/spool/record.ts';
import { readSealed } from '../../probe/spool/sealed-record.ts';
import { decodeBatch } from '../../shared/batch.ts';
import type { Result } from '../../shared/result.ts';

export interface SpoolWitness {
  /** All that was ever in the spools: what their probes acknowledged. Keys as resultKey makes them. */
  read(): Promise<ReadonlySet<string>>;
  /** The same, for the last time. */
  stop(): Promise<ReadonlySet<string>>;
}

const everyMs = 20;

export function resultKey(
  result: Pick<Result, 'endpointId' | 'regionId' | 'scheduledAt' | 'probeId'>,
): string {
  return `${result.endpointId}|${result.regionId}|${result.scheduledAt}|${result.probeId}`;
}

/**
 * Keeps a second name for every segment file of these spools, so that what is deleted there, or by a probe that was
 * killed, can still be read afterwards. A segment lives for seconds: none is missed at 50 looks a second.
 */
export async function witnessSpools(spools: readonly string[], folder: string): Promise<SpoolWitness> {
  const seen = new Map<string, { stream: string; file: string; path: string }>();
  let stopped = false;

  async function look(): Promise<void> {
    for (const [at, spool] of spools.entries()) {
      for (const stream of await readdir(spool).catch(() => [])) {
        for (const file of await readdir(join(spool, stream)).catch(() => [])) {
          const name = `${at}-${stream}-${file}`;
          if (!/^(sealed|journal)-\d+$/.test(file) || seen.has(name)) continue;
          const path = join(folder, name);
          const kept = await link(join(spool, stream, file), path).then(
            () => true,
            () => false,
          );
          if (kept) seen.set(name, { stream, file, path });
        }
      }
    }
  }

  await mkdir(folder, { recursive: true });
  const looking = (async () => {
    while (!stopped) {
      await look();
      await wait(everyMs);
    }
  })();

  async function read(): Promise<ReadonlySet<string>> {
    const keys = new Set<string>();
    for (const { stream, file, path } of seen.values()) {
      const number = Number(file.split('-')[1]);
      const salt = crc32(`${stream}/${file.split('-')[0]}-${number}`);
      for (const record of scanRecords(await readFile(path), salt).records) {
        const entry = journalEntry(record);
        if (entry && 'result' in entry) keys.add(resultKey(entry.result));
        const sealed = readSealed(record, stream);
        if (!sealed) continue;
        const { results } = decodeBatch(sealed.batch.value, sealed.batch.headers.schema);
        for (const result of results) keys.add(resultKey(result));
      }
    }
    return keys;
  }

  return {
    read,
    async stop() {
      stopped = true;
      await looking;
      await look();
      return read();
    },
  };
}
