import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { journalEntry } from '../../../probe/spool/journal-record.ts';
import { scanRecords } from '../../../probe/spool/record.ts';
import { readSealed } from '../../../probe/spool/sealed-record.ts';
import { decodeBatch } from '../../../shared/batch.ts';
import { resultKey } from '../../flow/spool-witness.ts';
import type { DiskTree } from '../power/power-loss.ts';

const segment = /^(sealed|journal)-(\d+)$/;

/** Keys of all results that can be read in a segment with these bytes: `path` ends in STREAM/KIND-NUMBER. */
export function keysIn(path: string, bytes: Buffer): string[] {
  const [file = '', stream = ''] = path.split('/').reverse();
  const [, kind, number] = segment.exec(file) ?? [];
  if (kind === undefined) return [];
  const keys: string[] = [];
  for (const record of scanRecords(bytes, crc32(`${stream}/${kind}-${Number(number)}`)).records) {
    const entry = journalEntry(record);
    if (entry && 'result' in entry) keys.push(resultKey(entry.result));
    const sealed = readSealed(record, stream);
    if (!sealed) continue;
    const { results } = decodeBatch(sealed.batch.value, sealed.batch.headers.schema);
    keys.push(...results.map(resultKey));
  }
  return keys;
}

/** Keys of all results in the spools of a folder that was read. */
export function keysInTree({ files }: DiskTree): Set<string> {
  return new Set([...files].flatMap(([path, { content }]) => keysIn(path, content)));
}

/** The same of a folder on disk, of a process that does not run. */
export async function keysInFolder(folder: string): Promise<Set<string>> {
  const keys = new Set<string>();
  for (const name of await readdir(folder, { recursive: true }).catch(() => [])) {
    if (!segment.test(name.split('/').at(-1) ?? '')) continue;
    for (const key of keysIn(join(folder, name), await readFile(join(folder, name)))) keys.add(key);
  }
  return keys;
}

/** Paths of all segments below a folder, oldest first. */
export async function segmentsIn(folder: string): Promise<string[]> {
  const names = await readdir(folder, { recursive: true }).catch(() => []);
  return names.filter((name) => segment.test(name.split('/').at(-1) ?? '')).sort();
}

export function without(all: ReadonlySet<string>, kept: ReadonlySet<string>): Set<string> {
  return new Set([...all].filter((key) => !kept.has(key)));
}
